"""What happens to pages, and what is known of a page at the end."""

from collections.abc import Iterator
from enum import IntFlag
from typing import Final, NamedTuple


class Allocated(NamedTuple):
    """Pages were given out (``mm_page_alloc``).

    ``traced`` is false where the kernel says nothing of it (the bulk allocator
    has no tracepoint) and it follows from what came before and after.
    """

    pfn: int
    order: int
    gfp_flags: int
    migratetype: int
    traced: bool = True


class Freed(NamedTuple):
    """Pages were given back (``mm_page_free``)."""

    pfn: int
    order: int


PageEvent = Allocated | Freed


class PageFlag(IntFlag):
    """Bits of ``/proc/kpageflags`` that matter here (``kernel-page-flags.h``)."""

    LRU = 1 << 5
    SLAB = 1 << 7
    BUDDY = 1 << 10
    ANON = 1 << 12
    SWAPBACKED = 1 << 14
    HUGE = 1 << 17
    HWPOISON = 1 << 19
    NOPAGE = 1 << 20
    OFFLINE = 1 << 23
    PGTABLE = 1 << 26
    RESERVED = 1 << 32


_FREE: Final = int(PageFlag.BUDDY | PageFlag.NOPAGE | PageFlag.HWPOISON)
_MOVABLE: Final = int(
    PageFlag.LRU | PageFlag.ANON | PageFlag.SWAPBACKED | PageFlag.HUGE | PageFlag.OFFLINE
)
_RESERVED: Final = int(PageFlag.RESERVED)


def is_free(flags: int) -> bool:
    """Whether nobody holds a page, as far as its flags tell."""
    return bool(flags & _FREE)


def can_move(flags: int) -> bool:
    """Whether a held page would let its block go offline (``has_unmovable_pages()``).

    Anonymous pages that wait in a processor's batch are not on an LRU list yet;
    offlining flushes the batches first (``lru_cache_disable()``).
    """
    return not flags & _RESERVED and bool(flags & _MOVABLE)


def pages_of_event(event: PageEvent) -> range:
    """The page frames of an event."""
    return range(event.pfn, event.pfn + (1 << event.order))


def runs_of(pfns: list[int]) -> Iterator[tuple[int, int]]:
    """Ascending page frames as ``(first, how many)``."""
    start = last = None
    for pfn in pfns:
        if start is None or last is None or pfn != last + 1:
            if start is not None and last is not None:
                yield start, last - start + 1
            start = pfn
        last = pfn
    if start is not None and last is not None:
        yield start, last - start + 1
