"""The SRAT: which memory and which processors belong to which proximity domain.

Source: ACPI specification 6.5, 5.2.16; ``drivers/acpi/numa/srat.c``,
``arch/x86/mm/srat.c``.
"""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from memhp.core.acpi.table import (
    TableHeader,
    UnknownEntry,
    close_table,
    entries,
    open_table,
)
from memhp.core.errors import AcpiTableError
from memhp.core.geometry import NodeId

SIGNATURE: Final = "SRAT"
_FIXED: Final = struct.Struct("<IQ")
_ENTRIES_AT: Final = 48
_ENTRY: Final = struct.Struct("<BB")
_CPU: Final = struct.Struct("<BBBBIBBBBI")
_MEMORY: Final = struct.Struct("<BBIHQQIIQ")
_X2APIC: Final = struct.Struct("<BBHIIIII")
_INITIATOR: Final = struct.Struct("<BBBBI16sII")
_TYPES: Final = {0: _CPU, 1: _MEMORY, 2: _X2APIC, 5: _INITIATOR}
ENABLED: Final = 1
HOTPLUGGABLE: Final = 2
NON_VOLATILE: Final = 4
_ADDRESS_SPACE: Final = 1 << 64
_LAST_REVISION: Final = (1 << 32) - 1

_NEW_HEADER: Final = TableHeader(revision=3)


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryAffinity:
    """A range of addresses and its proximity domain; ``flags`` as in the table."""

    domain: int
    start: int
    size_bytes: int
    flags: int = ENABLED
    reserved: tuple[int, int, int] = (0, 0, 0)

    @property
    def enabled(self) -> bool:
        return bool(self.flags & ENABLED)

    @property
    def hotpluggable(self) -> bool:
        return bool(self.flags & HOTPLUGGABLE)

    @property
    def non_volatile(self) -> bool:
        return bool(self.flags & NON_VOLATILE)

    @property
    def end(self) -> int:
        """The first address behind the range."""
        return self.start + self.size_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuAffinity:
    """A processor by its local APIC, and its proximity domain."""

    domain: int
    apic_id: int
    flags: int = ENABLED
    sapic_eid: int = 0
    clock_domain: int = 0
    reserved: int = 0

    @property
    def enabled(self) -> bool:
        return bool(self.flags & ENABLED)


@dataclass(frozen=True, slots=True, kw_only=True)
class X2apicAffinity:
    """A processor by its x2APIC, and its proximity domain."""

    domain: int
    x2apic_id: int
    flags: int = ENABLED
    clock_domain: int = 0
    reserved: tuple[int, int] = (0, 0)

    @property
    def enabled(self) -> bool:
        return bool(self.flags & ENABLED)


@dataclass(frozen=True, slots=True, kw_only=True)
class GenericInitiatorAffinity:
    """A device that starts memory requests: its handle (16 bytes) and domain."""

    domain: int
    handle_type: int
    device_id: bytes
    flags: int = ENABLED
    reserved: tuple[int, int] = (0, 0)

    @property
    def enabled(self) -> bool:
        return bool(self.flags & ENABLED)


Entry = MemoryAffinity | CpuAffinity | X2apicAffinity | GenericInitiatorAffinity | UnknownEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class Srat:
    """A whole SRAT, its entries in the table's order."""

    header: TableHeader = _NEW_HEADER
    entries: tuple[Entry, ...] = ()
    reserved: tuple[int, int] = (1, 0)
    warnings: tuple[str, ...] = ()

    @property
    def memory(self) -> tuple[MemoryAffinity, ...]:
        """The enabled memory entries, in order."""
        return tuple(e for e in self.entries if isinstance(e, MemoryAffinity) and e.enabled)


def parse_srat(data: bytes, *, verify_checksum: bool = True) -> Srat:
    """Read an SRAT; raises ``AcpiTableError``; what is odd but readable is a warning."""
    header, table, warnings = open_table(
        SIGNATURE, data, least_bytes=_ENTRIES_AT, verify_checksum=verify_checksum
    )
    first, second = _FIXED.unpack_from(table, 36)
    found = tuple(
        _read(kind, raw, offset, header.revision)
        for offset, kind, raw in entries(SIGNATURE, table, _ENTRIES_AT, _ENTRY)
    )
    srat = Srat(header=header, entries=found, reserved=(first, second))
    return replace(srat, warnings=(*warnings, *_oddities(found)))


def encode_srat(srat: Srat) -> bytes:
    """Write an SRAT; of a table that was read, the same bytes.

    Raises ``AcpiTableError`` for a domain that the table's revision has no room for.
    """
    body = b"".join(_write(entry, srat.header.revision) for entry in srat.entries)
    return close_table(SIGNATURE, srat.header, _FIXED.pack(*srat.reserved) + body)


def with_hotpluggable(srat: Srat, domain: int, *, on: bool = True) -> Srat:
    """Set or clear the hot-pluggable bit of a domain's memory, for a table override.

    The OEM revision goes up by one: the kernel takes a replacement only then
    (``acpi_table_initrd_override()``). Raises ``AcpiTableError`` where there
    is no higher one.
    """
    if srat.header.oem_revision == _LAST_REVISION:
        raise AcpiTableError(
            table=SIGNATURE,
            problem="has the highest OEM revision, and a replacement needs a higher one",
            advice="the kernel cannot be given another table",
        )
    changed = tuple(
        replace(entry, flags=entry.flags | HOTPLUGGABLE if on else entry.flags & ~HOTPLUGGABLE)
        if isinstance(entry, MemoryAffinity) and entry.enabled and entry.domain == domain
        else entry
        for entry in srat.entries
    )
    header = replace(srat.header, oem_revision=srat.header.oem_revision + 1)
    return replace(srat, header=header, entries=changed)


def node_of_domain(srat: Srat) -> dict[int, NodeId]:
    """Number Linux's nodes: domains as the kernel meets them.

    It reads processors and generic initiators in the table's order, then
    memory (``acpi_numa_init()``), and gives each new domain the lowest free
    number (``acpi_map_pxm_to_node()``).
    """
    nodes: dict[int, NodeId] = {}
    for memory in (False, True):
        for entry in srat.entries:
            if isinstance(entry, UnknownEntry) or not entry.enabled:
                continue
            if isinstance(entry, MemoryAffinity) is memory:
                nodes.setdefault(entry.domain, NodeId(len(nodes)))
    return nodes


def _read(kind: int, raw: bytes, offset: int, revision: int) -> Entry:
    layout = _TYPES.get(kind)
    if layout is None:
        return UnknownEntry(kind=kind, data=raw)
    if len(raw) != layout.size:
        raise AcpiTableError(
            table=SIGNATURE,
            problem=f"has an entry of type {kind} with {len(raw)} bytes instead of {layout.size}",
            offset=offset,
            advice="the table is damaged",
        )
    fields = layout.unpack(raw)
    if kind == 1:
        _, _, domain, r1, start, size, r2, flags, r3 = fields
        # Before revision 2 a domain had 8 bits and the rest was reserved.
        if revision < 2 and domain > 0xFF:
            r1, domain = (domain >> 8) << 16 | r1, domain & 0xFF
        return MemoryAffinity(
            domain=domain, start=start, size_bytes=size, flags=flags, reserved=(r1, r2, r3)
        )
    return _read_initiator(kind, fields, revision)


def _read_initiator(
    kind: int, fields: tuple[int, ...], revision: int
) -> CpuAffinity | X2apicAffinity | GenericInitiatorAffinity:
    if kind == 2:
        _, _, r1, domain, apic, flags, clock, r2 = fields
        return X2apicAffinity(
            domain=domain, x2apic_id=apic, flags=flags, clock_domain=clock, reserved=(r1, r2)
        )
    if kind == 5:
        _, _, r1, handle_type, domain, device, flags, r2 = fields
        return GenericInitiatorAffinity(
            domain=domain,
            handle_type=handle_type,
            device_id=bytes(device),
            flags=flags,
            reserved=(r1, r2),
        )
    _, _, low, apic, flags, eid, high1, high2, high3, clock = fields
    high = high1 | high2 << 8 | high3 << 16
    # Before revision 2 a domain had 8 bits and the three high bytes were reserved.
    wide = revision >= 2
    return CpuAffinity(
        domain=low | high << 8 if wide else low,
        apic_id=apic,
        flags=flags,
        sapic_eid=eid,
        clock_domain=clock,
        reserved=0 if wide else high,
    )


def _write(entry: Entry, revision: int) -> bytes:
    match entry:
        case MemoryAffinity() | CpuAffinity() if revision < 2 and entry.domain > 0xFF:
            raise AcpiTableError(
                table=SIGNATURE,
                problem=f"has no room for domain {entry.domain} in revision {revision}",
                advice="write it in revision 2 or later",
            )
        case UnknownEntry():
            return entry.data
        case MemoryAffinity():
            return _write_memory(entry, revision)
        case X2apicAffinity():
            r1, r2 = entry.reserved
            fields = (r1, entry.domain, entry.x2apic_id, entry.flags, entry.clock_domain, r2)
            return _X2APIC.pack(2, _X2APIC.size, *fields)
        case GenericInitiatorAffinity():
            r1, r2 = entry.reserved
            handle = (entry.handle_type, entry.domain, entry.device_id)
            return _INITIATOR.pack(5, _INITIATOR.size, r1, *handle, entry.flags, r2)
        case CpuAffinity():
            low, *high = (entry.domain | entry.reserved << 8).to_bytes(4, "little")
            first = (low, entry.apic_id, entry.flags, entry.sapic_eid)
            return _CPU.pack(0, _CPU.size, *first, *high, entry.clock_domain)


def _write_memory(entry: MemoryAffinity, revision: int) -> bytes:
    r1, r2, r3 = entry.reserved
    domain = entry.domain
    if revision < 2:
        domain, r1 = domain | (r1 >> 16) << 8, r1 & 0xFFFF
    place = (entry.start, entry.size_bytes)
    return _MEMORY.pack(1, _MEMORY.size, domain, r1, *place, r2, entry.flags, r3)


def _oddities(found: Iterable[Entry]) -> Iterator[str]:
    """What a person should hear of: unknown entries, and what makes the kernel object."""
    memory: list[MemoryAffinity] = []
    for entry in found:
        if isinstance(entry, UnknownEntry):
            yield f"an entry of type {entry.kind} is not known and was kept as it is"
        if not isinstance(entry, MemoryAffinity) or not entry.enabled:
            continue
        if entry.size_bytes == 0:
            yield f"memory of domain {entry.domain} at {entry.start:#x} has no size"
            continue
        if entry.end > _ADDRESS_SPACE:
            yield f"memory of domain {entry.domain} at {entry.start:#x} runs past 2^64"
        yield from (_overlap(entry, other) for other in memory if _overlaps(entry, other))
        memory.append(entry)


def _overlaps(one: MemoryAffinity, other: MemoryAffinity) -> bool:
    return one.start < other.end and other.start < one.end


def _overlap(one: MemoryAffinity, other: MemoryAffinity) -> str:
    """Overlap within a node is joined; between nodes it costs the whole table."""
    where = f"at {max(one.start, other.start):#x}"
    if one.domain == other.domain:
        return f"memory of domain {one.domain} overlaps itself {where}"
    return (
        f"memory of domains {other.domain} and {one.domain} overlaps {where}: "
        "the kernel rejects the whole SRAT (numa_cleanup_meminfo())"
    )
