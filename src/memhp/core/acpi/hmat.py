"""The HMAT: latency and bandwidth of memory, and caches on the memory's side.

Source: ACPI specification 6.5, 5.2.27; ``drivers/acpi/numa/hmat.c``.
"""

import struct
from dataclasses import dataclass, replace
from typing import Final

from memhp.core.acpi.table import (
    HEADER_BYTES,
    TableHeader,
    UnknownEntry,
    close_table,
    entries,
    open_table,
)
from memhp.core.errors import AcpiTableError

SIGNATURE: Final = "HMAT"
_RESERVED: Final = struct.Struct("<I")
_ENTRIES_AT: Final = HEADER_BYTES + 4
_ENTRY: Final = struct.Struct("<HxxI")
_PROXIMITY: Final = struct.Struct("<HHIHHIIIQQ")
_LOCALITY: Final = struct.Struct("<HHIBBBBIIIQ")
_CACHE: Final = struct.Struct("<HHIIIQIHH")
UNREACHABLE: Final = 0xFFFF
_LATENCY_TYPES: Final = (0, 1, 2)
_UINT_MAX: Final = (1 << 32) - 1

_NEW_HEADER: Final = TableHeader(revision=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProximityAttributes:
    """Which initiator a memory domain is attached to; ``flags`` bit 0: it is valid."""

    initiator_domain: int
    memory_domain: int
    flags: int = 1
    reserved: tuple[int, int, int, int, int] = (0, 0, 0, 0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyBandwidth:
    """One matrix: rows are initiators, columns targets, raw values as in the table.

    ``data_type`` 0 to 2 are latencies (access, read, write), 3 to 5
    bandwidths. ``base_unit`` multiplies a value: picoseconds, or MiB/s.
    """

    data_type: int
    base_unit: int
    initiators: tuple[int, ...]
    targets: tuple[int, ...]
    values: tuple[tuple[int, ...], ...]
    flags: int = 0
    min_transfer: int = 0
    reserved: tuple[int, int, int] = (0, 0, 0)

    @property
    def is_latency(self) -> bool:
        return self.data_type in _LATENCY_TYPES

    def value(self, initiator: int, target: int, *, revision: int = 2) -> int | None:
        """Nanoseconds or MiB/s as the kernel exports them (``hmat_normalize()``).

        ``None`` where the table says that the target cannot be reached, or
        says nothing, or says more than 32 bits hold. From revision 2 on
        latencies are rounded up from picoseconds; revision 1 counted both in
        tenths.
        """
        if initiator not in self.initiators or target not in self.targets:
            return None
        raw = self.values[self.initiators.index(initiator)][self.targets.index(target)]
        scaled = raw * self.base_unit
        if raw == UNREACHABLE or not 0 < scaled <= _UINT_MAX or (revision == 1 and scaled < 10):
            return None
        if revision == 1:
            return -(-scaled // 10)
        return -(-scaled // 1000) if self.is_latency else scaled


@dataclass(frozen=True, slots=True, kw_only=True)
class MemorySideCache:
    """A cache before a memory domain; ``attributes`` as in the table, size in bytes."""

    memory_domain: int
    size_bytes: int
    attributes: int
    smbios_handles: tuple[int, ...] = ()
    reserved: tuple[int, int, int] = (0, 0, 0)


Entry = ProximityAttributes | LatencyBandwidth | MemorySideCache | UnknownEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class Hmat:
    """A whole HMAT, its entries in the table's order."""

    header: TableHeader = _NEW_HEADER
    entries: tuple[Entry, ...] = ()
    reserved: int = 0
    warnings: tuple[str, ...] = ()


def parse_hmat(data: bytes, *, verify_checksum: bool = True) -> Hmat:
    """Read an HMAT; raises ``AcpiTableError``; unknown entries are kept with a warning."""
    header, table, warnings = open_table(
        SIGNATURE, data, least_bytes=_ENTRIES_AT, verify_checksum=verify_checksum
    )
    (reserved,) = _RESERVED.unpack_from(table, HEADER_BYTES)
    found = tuple(
        _read(kind, raw, offset)
        for offset, kind, raw in entries(SIGNATURE, table, _ENTRIES_AT, _ENTRY)
    )
    odd = tuple(
        f"an entry of type {entry.kind} is not known and was kept as it is"
        for entry in found
        if isinstance(entry, UnknownEntry)
    )
    hmat = Hmat(header=header, entries=found, reserved=reserved)
    return replace(hmat, warnings=(*warnings, *odd))


def encode_hmat(hmat: Hmat) -> bytes:
    """Write an HMAT; of a table that was read, the same bytes."""
    body = b"".join(_write(entry) for entry in hmat.entries)
    return close_table(SIGNATURE, hmat.header, _RESERVED.pack(hmat.reserved) + body)


def _read(kind: int, raw: bytes, offset: int) -> Entry:
    match kind:
        case 0:
            _expect(raw, _PROXIMITY.size, offset, exact=True)
            _, r1, _, flags, r2, initiator, memory, r3, r4, r5 = _PROXIMITY.unpack(raw)
            return ProximityAttributes(
                initiator_domain=initiator,
                memory_domain=memory,
                flags=flags,
                reserved=(r1, r2, r3, r4, r5),
            )
        case 1:
            return _read_locality(raw, offset)
        case 2:
            return _read_cache(raw, offset)
    return UnknownEntry(kind=kind, data=raw)


def _read_locality(raw: bytes, offset: int) -> LatencyBandwidth:
    _expect(raw, _LOCALITY.size, offset, exact=False)
    _, r1, _, flags, data_type, transfer, r2, rows, columns, r3, unit = _LOCALITY.unpack_from(raw)
    _expect(raw, _LOCALITY.size + 4 * (rows + columns) + 2 * rows * columns, offset, exact=True)
    at = _LOCALITY.size
    initiators = struct.unpack_from(f"<{rows}I", raw, at)
    targets = struct.unpack_from(f"<{columns}I", raw, at + 4 * rows)
    flat = struct.unpack_from(f"<{rows * columns}H", raw, at + 4 * (rows + columns))
    return LatencyBandwidth(
        data_type=data_type,
        base_unit=unit,
        initiators=initiators,
        targets=targets,
        values=tuple(flat[row * columns : (row + 1) * columns] for row in range(rows)),
        flags=flags,
        min_transfer=transfer,
        reserved=(r1, r2, r3),
    )


def _read_cache(raw: bytes, offset: int) -> MemorySideCache:
    _expect(raw, _CACHE.size, offset, exact=False)
    _, r1, _, domain, r2, size, attributes, r3, count = _CACHE.unpack_from(raw)
    _expect(raw, _CACHE.size + 2 * count, offset, exact=True)
    return MemorySideCache(
        memory_domain=domain,
        size_bytes=size,
        attributes=attributes,
        smbios_handles=struct.unpack_from(f"<{count}H", raw, _CACHE.size),
        reserved=(r1, r2, r3),
    )


def _expect(raw: bytes, size: int, offset: int, *, exact: bool) -> None:
    if len(raw) < size or (exact and len(raw) != size):
        raise AcpiTableError(
            table=SIGNATURE,
            problem=f"has an entry of {len(raw)} bytes that should have {size}",
            offset=offset,
            advice="the table is damaged",
        )


def _write(entry: Entry) -> bytes:
    match entry:
        case UnknownEntry():
            return entry.data
        case ProximityAttributes():
            r1, r2, r3, r4, r5 = entry.reserved
            return _PROXIMITY.pack(
                0,
                r1,
                _PROXIMITY.size,
                entry.flags,
                r2,
                entry.initiator_domain,
                entry.memory_domain,
                r3,
                r4,
                r5,
            )
        case LatencyBandwidth():
            return _write_locality(entry)
        case MemorySideCache():
            r1, r2, r3 = entry.reserved
            handles = struct.pack(f"<{len(entry.smbios_handles)}H", *entry.smbios_handles)
            return (
                _CACHE.pack(
                    2,
                    r1,
                    _CACHE.size + len(handles),
                    entry.memory_domain,
                    r2,
                    entry.size_bytes,
                    entry.attributes,
                    r3,
                    len(entry.smbios_handles),
                )
                + handles
            )


def _write_locality(entry: LatencyBandwidth) -> bytes:
    rows, columns = len(entry.initiators), len(entry.targets)
    flat = [value for row in entry.values for value in row]
    tail = struct.pack(
        f"<{rows}I{columns}I{rows * columns}H", *entry.initiators, *entry.targets, *flat
    )
    r1, r2, r3 = entry.reserved
    head = _LOCALITY.pack(
        1,
        r1,
        _LOCALITY.size + len(tail),
        entry.flags,
        entry.data_type,
        entry.min_transfer,
        r2,
        rows,
        columns,
        r3,
        entry.base_unit,
    )
    return head + tail
