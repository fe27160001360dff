"""The direct map and the memory map: what maps each page, and where that lies.

Memory that is added needs a page structure for each page (the *memory map*,
2 MiB for each section) and entries in the direct map; both take pages of
memory that is already there, or, with ``memmap_on_memory``, of the block
itself. Source: ``init_memory_mapping()``, ``section_activate()``,
``vmemmap_populate()``, ``arch_remove_memory()``.

Each page-table page lies in a block; once pages are touched, each is a page
of its own (``pages/structures.py``).

Model: the tables of the lowest GiB and of the kernel image are not counted.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from memhp.core.geometry import (
    GIB,
    MIB,
    PAGE_SIZE_BYTES,
    SECTION_SIZE_BYTES,
    STRUCT_PAGE_BYTES,
)
from memhp.core.ranges import PhysRange
from memhp.model.runs import RunMap

MEMMAP_PAGES_PER_SECTION: Final = SECTION_SIZE_BYTES // PAGE_SIZE_BYTES**2 * STRUCT_PAGE_BYTES
_UNIT: Final = 2 * MIB
_UNITS_PER_GIB: Final = GIB // _UNIT


class Leaf(IntEnum):
    """The size of a direct-map entry, in 2 MiB units; 0 for one of 4 KiB."""

    PTE = 0
    PMD = 1
    PUD = _UNITS_PER_GIB


class TableKind(IntEnum):
    """A page of page tables, by what its 512 entries map: bytes of RAM a table."""

    DIRECT_PTE = 2 * MIB
    DIRECT_PMD = GIB
    DIRECT_PUD = 512 * GIB
    VMEMMAP_PMD = 64 * GIB


Table = tuple[TableKind, int]
"""One page of page tables: its kind, and which of that kind (address // reach)."""


Structure = int | Table
"""What the kernel keeps for other pages: a section's memory map (its number), or a table."""


@dataclass(slots=True, kw_only=True)
class PageTables:
    """What maps the machine's memory.

    ``direct`` holds the leaf size by 2 MiB units of physical address space;
    ``memmap_home`` the block in which each section's page structures lie;
    ``tables`` the block in which each page-table page lies.
    """

    direct: RunMap[Leaf] = field(default_factory=RunMap)
    memmap_home: RunMap[int] = field(default_factory=RunMap)
    tables: dict[Table, int] = field(default_factory=dict)

    def map_direct(self, added: PhysRange) -> None:
        """Enter a range: 1 GiB entries where it covers aligned GiB, else 2 MiB ones."""
        for start, end, leaf in _leaves(added):
            self.direct.fill(start, end, leaf)

    def unmap_direct(self, removed: PhysRange) -> None:
        """Clear what the range covers wholly; an entry that reaches outside stays."""
        start, end = removed.start // _UNIT, removed.end // _UNIT
        for run in list(self.direct.within(start, end)):
            size = max(run.value, 1)
            low = -(-run.start // size) * size
            high = run.end // size * size
            if low < high:
                self.direct.clear(low, high)

    def set_home(self, structure: Structure, block: int) -> None:
        """Write down in which block a structure lies."""
        if isinstance(structure, int):
            self.memmap_home.fill(structure, structure + 1, block)
        else:
            self.tables[structure] = block

    def split(self, unit: int) -> list[Table]:
        """Map a unit of 2 MiB by single pages; gives the page-table pages that takes.

        Source: ``split_large_page()``.
        """
        leaf = self.direct.get(unit)
        if leaf is None or leaf is Leaf.PTE:
            return []
        first = unit // _UNITS_PER_GIB * _UNITS_PER_GIB
        if leaf is Leaf.PUD:
            self.direct.fill(first, first + _UNITS_PER_GIB, Leaf.PMD)
        self.direct.fill(unit, unit + 1, Leaf.PTE)
        tables = [(TableKind.DIRECT_PTE, unit), (TableKind.DIRECT_PMD, unit // _UNITS_PER_GIB)]
        return [table for table in tables if table not in self.tables]

    def direct_bytes(self, leaf: Leaf) -> int:
        """How much memory entries of this size map (``DirectMap2M``, ``DirectMap1G``)."""
        return sum(run.end - run.start for run in self.direct if run.value is leaf) * _UNIT

    def tables_for(self, added: PhysRange) -> list[Table]:
        """Name the page-table pages that a range needs and that are not there yet."""
        return [table for table in _tables_of(added) if table not in self.tables]

    def tables_without(self, removed: PhysRange) -> list[Table]:
        """Name the page-table pages under a range that map nothing any more.

        Tables of 1 GiB entries stay, as on four-level x86-64 they do
        (``free_pud_table()`` is only reached with five levels).
        """
        single = [
            table
            for table in self.tables
            if table[0] is TableKind.DIRECT_PTE
            and removed.start <= table[1] * _UNIT < removed.end
            and not self._maps_anything(table)
        ]
        return single + [
            table
            for table in _tables_of(removed)
            if table in self.tables
            and table[0] is not TableKind.DIRECT_PUD
            and not self._maps_anything(table)
        ]

    def _maps_anything(self, table: Table) -> bool:
        kind, index = table
        if kind is TableKind.VMEMMAP_PMD:
            per_table = kind // SECTION_SIZE_BYTES
            return self.memmap_home.count(index * per_table, (index + 1) * per_table) > 0
        per_table = kind // _UNIT
        return self.direct.count(index * per_table, (index + 1) * per_table) > 0


def _leaves(added: PhysRange) -> Iterator[tuple[int, int, Leaf]]:
    start, end = added.start // _UNIT, added.end // _UNIT
    low = -(-start // _UNITS_PER_GIB) * _UNITS_PER_GIB
    high = end // _UNITS_PER_GIB * _UNITS_PER_GIB
    if low >= high:
        yield start, end, Leaf.PMD
        return
    yield start, low, Leaf.PMD
    yield low, high, Leaf.PUD
    yield high, end, Leaf.PMD


def _tables_of(added: PhysRange) -> Iterator[Table]:
    """Every page-table page that a range needs."""
    for kind in (TableKind.DIRECT_PUD, TableKind.VMEMMAP_PMD):
        for index in range(added.start // kind, -(-added.end // kind)):
            yield kind, index
    for start, end, leaf in _leaves(added):
        if leaf is Leaf.PMD and start < end:
            for index in range(start // _UNITS_PER_GIB, -(-end // _UNITS_PER_GIB)):
                yield TableKind.DIRECT_PMD, index
