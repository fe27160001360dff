"""The HMAT: read, written, and as ACPI's own compiler sees it."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from acpi_compiler import Field, Iasl, entries_of, with_values
from acpi_values import hmat_entries, hmats, unknown_hmat_entries
from memhp.core.acpi.hmat import (
    Entry,
    Hmat,
    LatencyBandwidth,
    MemorySideCache,
    ProximityAttributes,
    encode_hmat,
    parse_hmat,
)
from memhp.core.acpi.table import UnknownEntry


@given(hmats)
def test_a_table_reads_as_it_was_written(hmat: Hmat) -> None:
    raw = encode_hmat(hmat)
    assert replace(parse_hmat(raw), warnings=()) == hmat
    assert encode_hmat(parse_hmat(raw)) == raw


def test_the_bytes_of_one_table() -> None:
    entry = ProximityAttributes(initiator_domain=2, memory_domain=3)
    raw = encode_hmat(Hmat(entries=(entry,)))
    assert raw[:9] == b"HMAT" + (80).to_bytes(4, "little") + b"\x02"
    assert raw[36:] == (
        bytes([0, 0, 0, 0, 0, 0, 0, 0, 40, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0]) + bytes(20)
    )


def test_every_field_of_the_compilers_example(iasl: Iasl) -> None:
    text = with_values(
        iasl.template("HMAT"),
        {
            # Of the HMAT this compiler takes the whole field, of the SRAT the bits below it.
            "Flags (decoded below)": [1, 2],
            "Attached Initiator Proximity Domain": [0x11121314],
            "Memory Proximity Domain": [0x21222324, 0x31323334],
            "Data Type": [4],
            "Entry Base Unit": [0x4142434445464748],
            "Initiator Proximity Domain List": [0x51525354],
            "Target Proximity Domain List": [0x61626364],
            "Entry": [0x7172],
            "Memory Side Cache Size": [0x8182838485868788],
            "Cache Attributes (decoded below)": [0x00402123],
            "SMBIOS Handle": [0x9192],
        },
    )
    read = parse_hmat(iasl.compile(text))
    assert read == Hmat(
        header=replace(read.header, revision=2, oem_id=b"INTEL ", oem_revision=0),
        entries=(
            ProximityAttributes(initiator_domain=0x11121314, memory_domain=0x21222324, flags=1),
            LatencyBandwidth(
                data_type=4,
                base_unit=0x4142434445464748,
                initiators=(0x51525354,),
                targets=(0x61626364,),
                values=((0x7172,),),
                flags=2,
            ),
            MemorySideCache(
                memory_domain=0x31323334,
                size_bytes=0x8182838485868788,
                attributes=0x00402123,
                smbios_handles=(0x9192,),
            ),
        ),
    )


def shown(entry: Entry) -> list[Field]:
    """An entry as the disassembler should print it."""
    match entry:
        case ProximityAttributes():
            return list(_shown_proximity(entry))
        case LatencyBandwidth():
            return list(_shown_matrix(entry))
        case MemorySideCache():
            return list(_shown_cache(entry))
    raise AssertionError(entry)


def _shown_proximity(entry: ProximityAttributes) -> Iterator[Field]:
    yield from [("Structure Type", 0), ("Reserved", entry.reserved[0]), ("Length", 40)]
    yield "Flags (decoded below)", entry.flags
    yield "Reserved1", entry.reserved[1]
    yield "Attached Initiator Proximity Domain", entry.initiator_domain
    yield "Memory Proximity Domain", entry.memory_domain
    yield from zip(("Reserved2", "Reserved3", "Reserved4"), entry.reserved[2:], strict=True)


def _shown_matrix(entry: LatencyBandwidth) -> Iterator[Field]:
    rows, columns = len(entry.initiators), len(entry.targets)
    yield from [("Structure Type", 1), ("Reserved", entry.reserved[0])]
    yield "Length", 32 + 4 * (rows + columns) + 2 * rows * columns
    yield "Flags (decoded below)", entry.flags
    yield "Data Type", entry.data_type
    # The smallest transfer came with ACPI 6.4; this disassembler knows it as reserved.
    yield "Reserved1", entry.min_transfer | entry.reserved[1] << 8
    yield "Initiator Proximity Domains #", rows
    yield "Target Proximity Domains #", columns
    yield "Reserved2", entry.reserved[2]
    yield "Entry Base Unit", entry.base_unit
    yield from (("Initiator Proximity Domain List", domain) for domain in entry.initiators)
    yield from (("Target Proximity Domain List", domain) for domain in entry.targets)
    yield from (("Entry", value) for row in entry.values for value in row)


def _shown_cache(entry: MemorySideCache) -> Iterator[Field]:
    yield from [("Structure Type", 2), ("Reserved", entry.reserved[0])]
    yield "Length", 32 + 2 * len(entry.smbios_handles)
    yield "Memory Proximity Domain", entry.memory_domain
    yield "Reserved1", entry.reserved[1]
    yield "Memory Side Cache Size", entry.size_bytes
    yield "Cache Attributes (decoded below)", entry.attributes
    yield "Reserved2", entry.reserved[2]
    yield "SMBIOS Handle #", len(entry.smbios_handles)
    yield from (("SMBIOS Handle", handle) for handle in entry.smbios_handles)


@given(st.lists(hmat_entries, min_size=1, max_size=4))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_disassembler_reads_what_we_write(iasl: Iasl, entries: list[Entry]) -> None:
    fields = iasl.fields(encode_hmat(Hmat(entries=tuple(entries))))
    assert list(entries_of(fields, "Structure Type")) == [shown(entry) for entry in entries]


@given(unknown_hmat_entries)
def test_unknown_entries_are_kept_and_told(entry: UnknownEntry) -> None:
    table = Hmat(entries=(entry,))
    told = f"an entry of type {entry.kind} is not known and was kept as it is"
    assert parse_hmat(encode_hmat(table)) == replace(table, warnings=(told,))


def matrix(data_type: int, base_unit: int, *values: int) -> LatencyBandwidth:
    """One initiator, 7, and as many targets as values, from 1 on."""
    return LatencyBandwidth(
        data_type=data_type,
        base_unit=base_unit,
        initiators=(7,),
        targets=tuple(range(1, len(values) + 1)),
        values=(values,),
    )


@pytest.mark.parametrize(
    ("data_type", "base_unit", "value", "revision", "expected"),
    [
        (0, 1000, 80, 2, 80),
        (1, 1, 1, 2, 1),
        (1, 100, 801, 2, 81),
        (2, 1, 1001, 2, 2),
        (3, 1024, 10, 2, 10240),
        (4, 1, 1, 2, 1),
        (5, 7, 3, 2, 21),
        (0, 1, 800, 1, 80),
        (0, 1, 801, 1, 81),
        (3, 1, 801, 1, 81),
        (0, 1, 9, 1, None),
        (3, 3, 3, 1, None),
        (0, 1, 10, 1, 1),
        (0, 1000, 0, 2, None),
        (0, 1000, 0xFFFF, 2, None),
        (3, 1, 0xFFFF, 2, None),
        (3, 0, 5, 2, None),
        (3, 0xFFFFFFFF, 1, 2, 0xFFFFFFFF),
        (3, 0x100000000, 1, 2, None),
        (0, 0x80000000, 2, 2, None),
        (0, 0x7FFFFFFF, 2, 2, 4294968),
    ],
)
def test_values_as_the_kernel_exports_them(
    data_type: int, base_unit: int, value: int, revision: int, expected: int | None
) -> None:
    assert matrix(data_type, base_unit, value).value(7, 1, revision=revision) == expected


def test_rows_are_initiators_and_columns_targets() -> None:
    both = LatencyBandwidth(
        data_type=3,
        base_unit=1,
        initiators=(5, 6),
        targets=(1, 2, 3),
        values=((1, 2, 3), (4, 5, 6)),
    )
    found = {(i, t): both.value(i, t) for i in (5, 6, 1) for t in (1, 2, 3, 5)}
    named = {(5, 1): 1, (5, 2): 2, (5, 3): 3, (6, 1): 4, (6, 2): 5, (6, 3): 6}
    assert found == {pair: named.get(pair) for pair in found}


@pytest.mark.parametrize(
    ("data_type", "latency"), [(0, True), (1, True), (2, True), (3, False), (4, False), (5, False)]
)
def test_which_types_are_latencies(data_type: int, latency: bool) -> None:
    assert matrix(data_type, 1, 1).is_latency is latency
