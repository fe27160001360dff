"""A zone's allocator state: free lists by migrate type and order, per-cpu lists, marks."""

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from memhp.core.geometry import MIB, PAGES_PER_SECTION, NodeId, pages_of
from memhp.core.words import ZoneType
from memhp.model.pages.frames import FREE, ORDER, TYPE_SHIFT, Frames, Pfns, free_head
from memhp.model.pages.free_list import FreeList, LargestList
from memhp.model.pages.words import MAX_ORDER, NR_ORDERS, PAGEBLOCK_ORDER, MigrateType

PCP_TYPES: Final = (MigrateType.UNMOVABLE, MigrateType.MOVABLE, MigrateType.RECLAIMABLE)
_COSTLY_ORDER: Final = 3
NONE: Final = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """The watermarks of a zone in pages, and what it keeps from requests for higher zones.

    ``reserve`` has a number for each zone type that a request could use at best.
    """

    minimum: int = 0
    low: int = 0
    high: int = 0
    reserve: tuple[int, ...] = (0,) * len(ZoneType)


@dataclass(slots=True, kw_only=True)
class PerCpu:
    """One processor's free pages of one zone, by order and type, head of the list first.

    ``count`` is in pages.
    """

    lists: dict[tuple[int, int], Pfns] = field(default_factory=dict)
    count: int = 0


class Area:
    """``struct zone``, the allocator's part of it. All counts are pages.

    ``free`` is ``NR_FREE_PAGES``: what lies on free lists, but for that of
    isolated pageblocks; pages on per-cpu lists do not count. ``claims_apart``
    is how 6.12 falls back: claim a pageblock first, then steal a page.
    """

    __slots__ = (
        "batch",
        "claims_apart",
        "frames",
        "free",
        "high",
        "index",
        "isolated",
        "isolated_blocks",
        "lists",
        "marks",
        "node",
        "pcp",
        "populated",
        "zone",
    )

    def __init__(
        self, frames: Frames, index: int, node: NodeId, zone: ZoneType, *, claims_apart: bool
    ) -> None:
        self.frames = frames
        self.index = index
        self.node = node
        self.zone = zone
        self.claims_apart = claims_apart
        self.free = 0
        self.isolated = 0
        self.isolated_blocks = 0
        self.populated = False
        self.lists = [[FreeList(frames) for _ in range(NR_ORDERS)] for _ in MigrateType]
        self.lists[MigrateType.MOVABLE][MAX_ORDER] = LargestList(frames)
        self.pcp: dict[int, PerCpu] = {}
        self.marks = Marks()
        self.batch = 1
        self.high = 0

    @property
    def largest(self) -> LargestList:
        """The list on which sections that nobody has touched stand."""
        found = self.lists[MigrateType.MOVABLE][MAX_ORDER]
        if not isinstance(found, LargestList):
            raise TypeError("the list of largest movable chunks is of another class")
        return found

    def account(self, migratetype: int, nr_pages: int) -> None:
        """Count pages that came to the free lists of a type, or left them."""
        if migratetype == MigrateType.ISOLATE:
            self.isolated += nr_pages
        else:
            self.free += nr_pages

    def put(self, pfn: int, order: int, migratetype: int, *, tail: bool = False) -> None:
        """Put a chunk on a free list; counts are the caller's."""
        self.frames.state_view[pfn] = free_head(migratetype, order)
        self.lists[migratetype][order].push(pfn, tail=tail)

    def put_many(self, pfns: Pfns, order: int, migratetype: int, *, tail: bool = False) -> None:
        """Put chunks on a free list one by one; counts are the caller's."""
        self.frames.state[pfns] = free_head(migratetype, order)
        self.lists[migratetype][order].push_many(pfns, tail=tail)

    def unlist(self, pfn: int) -> int:
        """Take a free chunk off its list and count it off; gives its order."""
        section = pfn // PAGES_PER_SECTION
        if self.frames.pristine[section]:
            self.largest.touch_section(section)
        code = self.frames.state_view[pfn]
        migratetype, order = (code & ~FREE) >> TYPE_SHIFT, code & ORDER
        self.lists[migratetype][order].remove(pfn)
        self.account(migratetype, -(1 << order))
        return order

    def nr_free(self, order: int) -> int:
        """Count the free chunks of an order, isolated ones too, as ``/proc/buddyinfo`` does."""
        return sum(lists[order].count for lists in self.lists)

    def cached(self) -> int:
        """Count the pages on per-cpu lists."""
        return sum(pcp.count for pcp in self.pcp.values())

    def per_cpu(self, cpu: int) -> PerCpu:
        """The lists of a processor."""
        return self.pcp.setdefault(cpu, PerCpu())


def per_cpu_order(order: int) -> bool:
    """Whether pages of this order go over the per-cpu lists (``pcp_allowed_order()``)."""
    return order <= _COSTLY_ORDER or order == PAGEBLOCK_ORDER


def batch_size(managed: int) -> int:
    """How many pages a per-cpu list takes and gives at once (``zone_batchsize()``)."""
    batch = max(1, min(managed >> 10, pages_of(MIB)) // 4)
    return max(1, (1 << ((batch + batch // 2).bit_length() - 1)) - 1)


def refill_size(batch: int, order: int) -> int:
    """How many chunks a list is refilled with.

    Model: 6.12 lets it grow while a processor only allocates (``nr_pcp_alloc()``).
    """
    return max(batch >> order, 2) if batch > 1 else 1
