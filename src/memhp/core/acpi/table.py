"""What all ACPI tables share: the header, the checksum, and entries one after another.

Source: ACPI specification 6.5, 5.2.6; ``acpi_tb_verify_checksum()``.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from memhp.core.errors import AcpiTableError

_HEADER: Final = struct.Struct("<4sIBB6s8sI4sI")
HEADER_BYTES: Final = _HEADER.size
_CHECKSUM_OFFSET: Final = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class TableHeader:
    """The 36 bytes before every table; names are kept as they stand, padding included."""

    revision: int
    oem_id: bytes = b"MEMHP "
    oem_table_id: bytes = b"MEMHP   "
    oem_revision: int = 1
    creator_id: bytes = b"MHP "
    creator_revision: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownEntry:
    """An entry of a type that memhp does not read, whole, with its own header."""

    kind: int
    data: bytes


def open_table(
    signature: str, data: bytes, *, least_bytes: int, verify_checksum: bool = True
) -> tuple[TableHeader, bytes, tuple[str, ...]]:
    """Check a table and give its header, its bytes without what lies behind, and warnings.

    Raises ``AcpiTableError`` for a table that is short, of another signature,
    or has a wrong checksum (``verify_checksum=False`` lets that pass).
    """
    if len(data) < HEADER_BYTES:
        raise AcpiTableError(
            table=signature,
            problem=f"has {len(data)} bytes, fewer than a header's {HEADER_BYTES}",
            advice="read the whole file again",
        )
    found, length, revision, _, oem_id, oem_table, oem_revision, creator, creator_revision = (
        _HEADER.unpack_from(data)
    )
    if found != signature.encode():
        shown = found.decode("ascii", "replace")
        raise AcpiTableError(
            table=signature, problem=f"begins with '{shown}'", advice="this is another table"
        )
    _check_length(signature, length, len(data), least_bytes)
    if verify_checksum and sum(data[:length]) % 256:
        raise AcpiTableError(
            table=signature,
            problem="has a wrong checksum",
            offset=_CHECKSUM_OFFSET,
            advice="the table is damaged or was edited without mending it",
        )
    behind = len(data) - length
    warnings = (f"{behind} bytes behind the end of the table were left out",) if behind else ()
    header = TableHeader(
        revision=revision,
        oem_id=oem_id,
        oem_table_id=oem_table,
        oem_revision=oem_revision,
        creator_id=creator,
        creator_revision=creator_revision,
    )
    return header, data[:length], warnings


def _check_length(signature: str, length: int, there: int, least: int) -> None:
    if length > there:
        raise AcpiTableError(
            table=signature,
            problem=f"says that it has {length} bytes, and there are {there}",
            offset=4,
            advice="the file was cut off",
        )
    if length < least:
        raise AcpiTableError(
            table=signature,
            problem=f"has {length} bytes, fewer than the {least} that it must have",
            offset=4,
            advice="the table is damaged",
        )


def close_table(signature: str, header: TableHeader, body: bytes) -> bytes:
    """Put a header with length and checksum before a body."""
    raw = bytearray(
        _HEADER.pack(
            signature.encode(),
            HEADER_BYTES + len(body),
            header.revision,
            0,
            header.oem_id,
            header.oem_table_id,
            header.oem_revision,
            header.creator_id,
            header.creator_revision,
        )
        + body
    )
    raw[_CHECKSUM_OFFSET] = -sum(raw) % 256
    return bytes(raw)


def entries(
    signature: str, data: bytes, start: int, layout: struct.Struct
) -> Iterator[tuple[int, int, bytes]]:
    """Walk entries that begin with a type and their own length, as ``layout`` reads them.

    Yields offset, type and the entry's bytes. Raises ``AcpiTableError`` for a
    length of zero, which would never end, and for one that runs past the table.
    """
    offset = start
    while offset < len(data):
        if offset + layout.size > len(data):
            raise AcpiTableError(
                table=signature,
                problem=f"ends inside an entry, {len(data) - offset} bytes after it began",
                offset=offset,
                advice="the table is damaged",
            )
        kind, length = layout.unpack_from(data, offset)
        if length < layout.size:
            raise AcpiTableError(
                table=signature,
                problem=f"has an entry of type {kind} with length {length}",
                offset=offset,
                advice="the table is damaged",
            )
        if offset + length > len(data):
            raise AcpiTableError(
                table=signature,
                problem=f"has an entry of {length} bytes that runs past its end",
                offset=offset,
                advice="the table is damaged",
            )
        yield offset, kind, data[offset : offset + length]
        offset += length
