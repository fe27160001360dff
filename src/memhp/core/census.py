"""Which kinds of page lie in a memory block."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from memhp.core.geometry import BlockId


class Prospect(StrEnum):
    """What becomes of a page when its block goes offline."""

    NOTHING = "nothing to move"
    """It is free, is no memory, or goes away together with its block."""
    MOVES = "movable"
    DEAR = "movable at a price"
    """It moves, but makes somebody wait, takes input and output, or costs a pool a page."""
    STAYS = "unmovable"
    UNKNOWN = "unknown"
    """Nobody can tell from what the kernel shows, or its driver decides."""


class PageKind(StrEnum):
    """What a page is to someone who wants the block that it lies in."""

    FREE = "free"
    ANON = "anonymous"
    CACHE = "page cache"
    SHMEM = "shmem"
    HUGE = "huge"
    """A transparent huge page; from 6.12 on also any other large folio of user memory."""
    MOVABLE = "otherwise movable"
    """On no LRU list and yet movable, as those of zsmalloc; only a model can tell."""
    MLOCKED = "mlocked"
    DIRTY = "dirty"
    WRITEBACK = "writeback"
    HUGETLB = "hugetlb"
    HUGETLB_FREE = "free hugetlb"
    SLAB = "slab"
    TABLE = "page table"
    RESERVED = "reserved"
    KERNEL = "other kernel"
    PINNED = "pinned"
    """Held in place for a device; the kernel shows of no page that it is: only a model can tell."""
    DRIVER = "driver"
    """Given away by a driver: balloon, virtio-mem (``PageOffline``)."""
    OWN_MAP = "own memory map"
    """The memory map of the block itself (``memmap_on_memory``)."""
    POISONED = "poisoned"
    HOLE = "hole"
    UNKNOWN = "unknown"

    @property
    def prospect(self) -> Prospect:
        """What becomes of such a page when its block goes offline.

        Source: ``has_unmovable_pages()``, ``do_migrate_range()``. What a zone
        or a lack of room elsewhere adds to that is not the page's own.
        """
        return _PROSPECTS[self]


_OF_PROSPECT: Final = {
    Prospect.NOTHING: (PageKind.FREE, PageKind.OWN_MAP, PageKind.POISONED, PageKind.HOLE),
    Prospect.MOVES: (
        PageKind.ANON,
        PageKind.CACHE,
        PageKind.SHMEM,
        PageKind.HUGE,
        PageKind.MOVABLE,
    ),
    Prospect.DEAR: (
        PageKind.MLOCKED,
        PageKind.DIRTY,
        PageKind.WRITEBACK,
        PageKind.HUGETLB,
        PageKind.HUGETLB_FREE,
    ),
    Prospect.STAYS: (
        PageKind.SLAB,
        PageKind.TABLE,
        PageKind.RESERVED,
        PageKind.KERNEL,
        PageKind.PINNED,
    ),
    Prospect.UNKNOWN: (PageKind.DRIVER, PageKind.UNKNOWN),
}
_PROSPECTS: Final = {kind: prospect for prospect, kinds in _OF_PROSPECT.items() for kind in kinds}


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockCensus:
    """How many pages of each kind one block holds; kinds with none are left out."""

    block: BlockId
    pages: Mapping[PageKind, int]

    @property
    def nr_pages(self) -> int:
        """All pages of the block, whatever their kind."""
        return sum(self.pages.values())

    def of(self, prospect: Prospect) -> int:
        """How many pages have this prospect."""
        return sum(number for kind, number in self.pages.items() if kind.prospect is prospect)


def total(censuses: Iterable[BlockCensus]) -> dict[PageKind, int]:
    """Add up the pages of several blocks, kind by kind; kinds with none are left out."""
    counts = dict.fromkeys(PageKind, 0)
    for census in censuses:
        for kind, number in census.pages.items():
            counts[kind] += number
    return {kind: number for kind, number in counts.items() if number}
