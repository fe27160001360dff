"""The SRAT: read, written, and as ACPI's own compiler sees it."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from acpi_compiler import Iasl, entries_of, with_values
from acpi_values import (
    cpu_entries,
    initiator_entries,
    memory_entries,
    srats,
    x2apic_entries,
)
from memhp.core.acpi.srat import (
    CpuAffinity,
    Entry,
    GenericInitiatorAffinity,
    MemoryAffinity,
    Srat,
    X2apicAffinity,
    encode_srat,
    node_of_domain,
    parse_srat,
    with_hotpluggable,
)
from memhp.core.acpi.table import TableHeader, UnknownEntry
from memhp.core.errors import AcpiTableError

GIB = 1 << 30
SOME_SRATS = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


def memory(domain: int, start: int, size: int, flags: int = 1) -> MemoryAffinity:
    """Memory of a domain, in GiB."""
    return MemoryAffinity(domain=domain, start=start * GIB, size_bytes=size * GIB, flags=flags)


@given(srats)
def test_a_table_reads_as_it_was_written(srat: Srat) -> None:
    raw = encode_srat(srat)
    assert replace(parse_srat(raw), warnings=()) == srat
    assert encode_srat(parse_srat(raw)) == raw


def test_the_bytes_of_one_table() -> None:
    srat = Srat(entries=(memory(0x01020304, 4, 2, flags=3),))
    raw = encode_srat(srat)
    assert raw[:9] == b"SRAT" + (88).to_bytes(4, "little") + b"\x03"
    assert raw[36:48] == b"\x01" + bytes(11)
    assert raw[48:] == (
        bytes([1, 40, 4, 3, 2, 1, 0, 0])
        + (4 * GIB).to_bytes(8, "little")
        + (2 * GIB).to_bytes(8, "little")
        + bytes([0, 0, 0, 0, 3, 0, 0, 0])
        + bytes(8)
    )


def test_every_field_of_the_compilers_example(iasl: Iasl) -> None:
    text = with_values(
        iasl.template("SRAT"),
        {
            "Oem Revision": [0x11223344],
            "Proximity Domain Low(8)": [0x12],
            "Proximity Domain High(24)": [0x345678],
            "Apic ID": [0x21, 0x22232425],
            "Enabled": [0, 1, 0, 1, 1],
            "Hot Pluggable": [1],
            "Non-Volatile": [1],
            "Local Sapic EID": [0x31],
            "Clock Domain": [0x41424344, 0x45464748, 0],
            "Proximity Domain": [0x51525354, 0x61626364, 0x71727374, 0x81828384, 0x91929394],
            "Base Address": [0x1122334455667788],
            "Address Length": [0x99AABBCCDDEEF0],
            "Device Handle Type": [1],
            "Device Handle": [0x0102030405060708090A0B0C0D0E0F10],
        },
    )
    read = parse_srat(iasl.compile(text))
    cpu, ram, x2apic, gicc, its, initiator = read.entries
    assert cpu == CpuAffinity(
        domain=0x34567812, apic_id=0x21, flags=0, sapic_eid=0x31, clock_domain=0x41424344
    )
    assert ram == MemoryAffinity(
        domain=0x51525354, start=0x1122334455667788, size_bytes=0x99AABBCCDDEEF0, flags=7
    )
    assert x2apic == X2apicAffinity(
        domain=0x61626364, x2apic_id=0x22232425, flags=0, clock_domain=0x45464748
    )
    assert initiator == GenericInitiatorAffinity(
        domain=0x91929394, handle_type=1, device_id=bytes(range(1, 17)), flags=1
    )
    assert [entry.kind for entry in (gicc, its) if isinstance(entry, UnknownEntry)] == [3, 4]
    assert (read.header.revision, read.header.oem_id) == (3, b"INTEL ")
    assert read.header.oem_revision == 0x11223344
    assert read.warnings == (
        "an entry of type 3 is not known and was kept as it is",
        "an entry of type 4 is not known and was kept as it is",
    )


def shown(entry: Entry) -> dict[str, int | str]:
    """An entry as the disassembler should print it."""
    match entry:
        case MemoryAffinity(reserved=(first, second, third)):
            return {
                "Subtable Type": 1,
                "Length": 40,
                "Proximity Domain": entry.domain,
                "Reserved1": first,
                "Base Address": entry.start,
                "Address Length": entry.size_bytes,
                "Reserved2": second,
                "Flags (decoded below)": entry.flags,
                "Reserved3": third,
            }
        case CpuAffinity():
            return {
                "Subtable Type": 0,
                "Length": 16,
                "Proximity Domain Low(8)": entry.domain & 0xFF,
                "Apic ID": entry.apic_id,
                "Flags (decoded below)": entry.flags,
                "Local Sapic EID": entry.sapic_eid,
                "Proximity Domain High(24)": entry.domain >> 8,
                "Clock Domain": entry.clock_domain,
            }
        case X2apicAffinity(reserved=(first, second)):
            return {
                "Subtable Type": 2,
                "Length": 24,
                "Reserved1": first,
                "Proximity Domain": entry.domain,
                "Apic ID": entry.x2apic_id,
                "Flags (decoded below)": entry.flags,
                "Clock Domain": entry.clock_domain,
                "Reserved2": second,
            }
        case GenericInitiatorAffinity(reserved=(first, second)):
            return {
                "Subtable Type": 5,
                "Length": 32,
                "Reserved1": first,
                "Device Handle Type": entry.handle_type,
                "Proximity Domain": entry.domain,
                "Device Handle": int.from_bytes(entry.device_id, "big"),
                "Flags (decoded below)": entry.flags,
                "Reserved2": second,
            }
    raise AssertionError(entry)


@given(
    st.lists(
        memory_entries() | cpu_entries() | x2apic_entries | initiator_entries,
        min_size=1,
        max_size=5,
    )
)
@SOME_SRATS
def test_the_disassembler_reads_what_we_write(iasl: Iasl, entries: list[Entry]) -> None:
    fields = iasl.fields(encode_srat(Srat(entries=tuple(entries))))
    read = [dict(entry) for entry in entries_of(fields, "Subtable Type")]
    assert read == [shown(entry) for entry in entries]


def test_the_disassembler_reads_our_header(iasl: Iasl) -> None:
    header = TableHeader(revision=3, oem_revision=0xA1B2C3D4, creator_revision=0x01020304)
    raw = encode_srat(Srat(header=header))
    assert dict(iasl.fields(raw)) == {
        "Signature": "SRAT",
        "Table Length": 48,
        "Revision": 3,
        "Checksum": raw[9],
        "Oem ID": "MEMHP ",
        "Oem Table ID": "MEMHP   ",
        "Oem Revision": 0xA1B2C3D4,
        "Asl Compiler ID": "MHP ",
        "Asl Compiler Revision": 0x01020304,
        "Table Revision": 1,
        "Reserved": 0,
    }


def test_in_revision_1_a_domain_has_8_bits() -> None:
    header = TableHeader(revision=1)
    wide = Srat(entries=(memory(0x0A0B0C0D, 0, 1), CpuAffinity(domain=0x0A0B0C0D, apic_id=7)))
    raw = bytearray(encode_srat(wide))
    raw[8], raw[9] = 1, (raw[9] + 2) % 256
    narrow = parse_srat(bytes(raw))
    assert narrow == Srat(
        header=header,
        entries=(
            replace(memory(0x0D, 0, 1), reserved=(0x0A0B0C << 16, 0, 0)),
            CpuAffinity(domain=0x0D, apic_id=7, reserved=0x0A0B0C),
        ),
    )
    assert encode_srat(narrow) == bytes(raw)


@pytest.mark.parametrize("entry", [memory(256, 0, 1), CpuAffinity(domain=256, apic_id=0)])
def test_a_wide_domain_is_not_cut_to_fit_revision_1(entry: Entry) -> None:
    with pytest.raises(AcpiTableError) as caught:
        encode_srat(Srat(header=TableHeader(revision=1), entries=(entry,)))
    assert str(caught.value) == (
        "ACPI table SRAT: has no room for domain 256 in revision 1: write it in revision 2 or later"
    )


@pytest.mark.parametrize(("revision", "domain"), [(0, 255), (1, 255), (2, 256), (3, 256)])
def test_a_domain_that_fits_its_revision_is_written(revision: int, domain: int) -> None:
    entries = (memory(domain, 0, 1), CpuAffinity(domain=domain, apic_id=0))
    srat = Srat(header=TableHeader(revision=revision), entries=entries)
    assert parse_srat(encode_srat(srat)) == srat


def test_what_is_not_given_is_zero_and_the_entry_enabled() -> None:
    entries = (CpuAffinity(domain=0, apic_id=0), X2apicAffinity(domain=0, x2apic_id=0))
    raw = encode_srat(Srat(entries=entries))
    assert raw[8] == 3
    assert raw[48:] == (
        bytes([0, 16, 0, 0, 1, *bytes(11)]) + bytes([2, 24, *bytes(10), 1, *bytes(11)])
    )


@pytest.mark.parametrize("flags", range(16))
def test_what_flags_mean(flags: int) -> None:
    one = memory(0, 0, 1, flags=flags)
    bits = (one.enabled, one.hotpluggable, one.non_volatile)
    assert bits == (bool(flags & 1), bool(flags & 2), bool(flags & 4))
    others: list[CpuAffinity | X2apicAffinity | GenericInitiatorAffinity] = [
        CpuAffinity(domain=0, apic_id=0, flags=flags),
        X2apicAffinity(domain=0, x2apic_id=0, flags=flags),
        GenericInitiatorAffinity(domain=0, handle_type=0, device_id=bytes(16), flags=flags),
    ]
    assert [other.enabled for other in others] == [bool(flags & 1)] * 3


ODDITIES: dict[str, tuple[tuple[Entry, ...], tuple[str, ...]]] = {
    "nothing odd": ((memory(0, 0, 2), memory(1, 2, 2)), ()),
    "disabled": ((memory(0, 0, 2), memory(1, 0, 2, flags=2)), ()),
    "one domain twice": (
        (memory(3, 0, 2), memory(3, 1, 2)),
        ("memory of domain 3 overlaps itself at 0x40000000",),
    ),
    "two domains": (
        (memory(0, 1, 2), memory(1, 0, 2)),
        (
            "memory of domains 0 and 1 overlaps at 0x40000000: "
            "the kernel rejects the whole SRAT (numa_cleanup_meminfo())",
        ),
    ),
    "one inside another": (
        (memory(0, 0, 4), memory(1, 1, 1)),
        (
            "memory of domains 0 and 1 overlaps at 0x40000000: "
            "the kernel rejects the whole SRAT (numa_cleanup_meminfo())",
        ),
    ),
    "no size": ((memory(2, 5, 0),), ("memory of domain 2 at 0x140000000 has no size",)),
    "past the end": (
        (MemoryAffinity(domain=2, start=(1 << 64) - 1, size_bytes=2),),
        ("memory of domain 2 at 0xffffffffffffffff runs past 2^64",),
    ),
    "up to the end": ((MemoryAffinity(domain=2, start=(1 << 64) - 1, size_bytes=1),), ()),
    "unknown entry": (
        (UnknownEntry(kind=4, data=bytes([4, 3, 0])),),
        ("an entry of type 4 is not known and was kept as it is",),
    ),
}


@pytest.mark.parametrize(("entries", "warnings"), ODDITIES.values(), ids=ODDITIES)
def test_what_is_odd_is_told(entries: tuple[Entry, ...], warnings: tuple[str, ...]) -> None:
    expected = Srat(entries=entries, warnings=warnings)
    assert parse_srat(encode_srat(Srat(entries=entries))) == expected


small_memory = st.builds(
    memory, st.integers(0, 2), st.integers(0, 8), st.integers(0, 4), st.integers(0, 1)
)


@given(st.lists(small_memory, max_size=6))
def test_every_overlap_is_told_once(entries: list[MemoryAffinity]) -> None:
    there = [set(range(e.start // GIB, e.end // GIB)) for e in entries if e.enabled]
    pairs = sum(bool(one & other) for i, one in enumerate(there) for other in there[:i])
    told = parse_srat(encode_srat(Srat(entries=tuple(entries)))).warnings
    assert sum(" overlaps " in words for words in told) == pairs
    assert sum("has no size" in words for words in told) == there.count(set())


def test_the_memory_of_a_table_is_what_is_enabled() -> None:
    entries = (memory(0, 0, 1), CpuAffinity(domain=0, apic_id=0), memory(1, 1, 1, flags=2))
    assert Srat(entries=entries).memory == (memory(0, 0, 1),)
    assert memory(0, 1, 2).end == 3 * GIB


def test_a_domain_is_made_hotpluggable_and_back() -> None:
    entries = (
        memory(1, 0, 1),
        memory(2, 1, 1),
        memory(1, 2, 1, flags=5),
        memory(1, 3, 1, flags=0),
        CpuAffinity(domain=1, apic_id=0),
    )
    srat = Srat(entries=entries)
    on = with_hotpluggable(srat, 1)
    changed = (memory(1, 0, 1, flags=3), entries[1], memory(1, 2, 1, flags=7), *entries[3:])
    assert on == Srat(header=TableHeader(revision=3, oem_revision=2), entries=changed)
    off = with_hotpluggable(on, 1, on=False)
    assert off == Srat(header=TableHeader(revision=3, oem_revision=3), entries=entries)


def test_nothing_replaces_a_table_of_the_highest_revision() -> None:
    last = TableHeader(revision=3, oem_revision=(1 << 32) - 1)
    with pytest.raises(AcpiTableError, match="ACPI table SRAT: has the highest OEM revision"):
        with_hotpluggable(Srat(header=last, entries=(memory(1, 0, 1),)), 1)


@pytest.mark.parametrize(
    ("entries", "nodes"),
    [
        ((), {}),
        ((memory(7, 0, 1), memory(3, 1, 1)), {7: 0, 3: 1}),
        ((memory(7, 0, 1), CpuAffinity(domain=3, apic_id=0)), {3: 0, 7: 1}),
        ((memory(5, 0, 1), X2apicAffinity(domain=5, x2apic_id=0)), {5: 0}),
        (
            (
                X2apicAffinity(domain=9, x2apic_id=0, flags=0),
                GenericInitiatorAffinity(domain=8, handle_type=0, device_id=bytes(16)),
                memory(1, 0, 1, flags=2),
                memory(2, 0, 1),
                CpuAffinity(domain=6, apic_id=0),
                UnknownEntry(kind=3, data=bytes([3, 2])),
            ),
            {8: 0, 6: 1, 2: 2},
        ),
    ],
    ids=["none", "memory", "processors-first", "one-domain", "only-enabled"],
)
def test_nodes_are_numbered_as_the_kernel_meets_domains(
    entries: tuple[Entry, ...], nodes: Mapping[int, int]
) -> None:
    assert node_of_domain(Srat(entries=entries)) == nodes
