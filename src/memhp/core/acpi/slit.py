"""The SLIT: relative distances between proximity domains.

Source: ACPI specification 6.5, 5.2.17; ``acpi_numa_slit_init()``, ``slit_valid()``.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from memhp.core.acpi.table import TableHeader, close_table, open_table
from memhp.core.errors import AcpiTableError

SIGNATURE: Final = "SLIT"
_COUNT: Final = struct.Struct("<Q")
_MATRIX_AT: Final = 44
LOCAL: Final = 10

_NEW_HEADER: Final = TableHeader(revision=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slit:
    """Distances by domain: row from, column to, one byte each."""

    header: TableHeader = _NEW_HEADER
    distances: tuple[tuple[int, ...], ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def usable(self) -> bool:
        """Whether the kernel would use it: 10 within a domain, more than 10 between two."""
        return not any(_faults(self.distances))


def parse_slit(data: bytes, *, verify_checksum: bool = True) -> Slit:
    """Read a SLIT; raises ``AcpiTableError``; distances that the kernel ignores are a warning."""
    header, table, warnings = open_table(
        SIGNATURE, data, least_bytes=_MATRIX_AT, verify_checksum=verify_checksum
    )
    (count,) = _COUNT.unpack_from(table, 36)
    body = table[_MATRIX_AT:]
    if count * count != len(body):
        raise AcpiTableError(
            table=SIGNATURE,
            problem=f"counts {count} localities and has {len(body)} distances",
            offset=36,
            advice="the number of distances must be the count squared",
        )
    rows = tuple(tuple(body[row * count : (row + 1) * count]) for row in range(count))
    slit = Slit(header=header, distances=rows)
    fault = next(_faults(rows), None)
    if fault is not None:
        warnings = (*warnings, f"{fault}: the kernel ignores the whole SLIT (slit_valid())")
    return replace(slit, warnings=warnings)


def encode_slit(slit: Slit) -> bytes:
    """Write a SLIT; of a table that was read, the same bytes."""
    matrix = b"".join(bytes(row) for row in slit.distances)
    return close_table(SIGNATURE, slit.header, _COUNT.pack(len(slit.distances)) + matrix)


def _faults(rows: tuple[tuple[int, ...], ...]) -> Iterator[str]:
    for origin, row in enumerate(rows):
        for target, distance in enumerate(row):
            if origin == target and distance != LOCAL:
                yield f"distance from {origin} to itself is {distance} and not {LOCAL}"
            elif origin != target and distance <= LOCAL:
                yield f"distance from {origin} to {target} is {distance} and not above {LOCAL}"
