"""Make a whole story of what was traced: every page's state follows from the one before.

A trace begins after the kernel took memory for itself, and the kernel's bulk
allocator (vmalloc, and with it every kernel stack) has no tracepoint. Both gaps
are closed from what is known of each page:

- a page whose first event is a free, or that has none and is not free at the
  end, was not the allocator's to give at the start;
- a page that is freed, or held at the end, without having been given out since
  it was last free was given out by the bulk allocator: one unmovable page.
  When, nobody knows; its neighbours in the same pageblock were given out at
  about the same time, for the allocator refills from consecutive pages.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from memhp.core.geometry import PAGES_PER_PAGEBLOCK
from memhp.model.allocations.events import (
    Allocated,
    PageEvent,
    is_free,
    pages_of_event,
    runs_of,
)

GFP_VMALLOC: Final = 0xCC0
"""``GFP_KERNEL``: what vmalloc's pages are asked for with, as far as zones are concerned."""
_UNMOVABLE: Final = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What happened, without gaps.

    ``start`` holds runs ``(first page frame, how many)`` of pages that were not
    the allocator's when the story begins. ``overlaps`` counts pages that were
    given out while held, ``untraced`` those that were given out unseen.
    """

    start: tuple[tuple[int, int], ...]
    events: tuple[PageEvent, ...]
    untraced: int
    overlaps: int


@dataclass(slots=True, kw_only=True)
class _Pages:
    """Each page's last events, by position in the trace."""

    held: set[int] = field(default_factory=set)
    start: set[int] = field(default_factory=set)
    freed_at: dict[int, int] = field(default_factory=dict)
    given_at: dict[int, dict[int, int]] = field(default_factory=lambda: defaultdict(dict))
    gaps: list[tuple[int, int, int]] = field(default_factory=list)
    overlaps: int = 0

    def take(self, event: PageEvent, position: int) -> None:
        if isinstance(event, Allocated):
            for pfn in pages_of_event(event):
                self._give(pfn, position)
        else:
            for pfn in pages_of_event(event):
                self._free(pfn, position)

    def _give(self, pfn: int, position: int) -> None:
        if pfn in self.held:
            self.overlaps += 1
        self.held.add(pfn)
        self.given_at[pfn // PAGES_PER_PAGEBLOCK][pfn] = position

    def _free(self, pfn: int, position: int) -> None:
        if pfn in self.held:
            self.held.remove(pfn)
        elif pfn in self.freed_at or pfn in self.given_at.get(pfn // PAGES_PER_PAGEBLOCK, ()):
            self.gaps.append((pfn, self.freed_at.get(pfn, 0), position))
        else:
            self.start.add(pfn)
        self.freed_at[pfn] = position


def tell_story(traced: Iterable[PageEvent], flags: Sequence[int], pcp_pages: int = 0) -> Story:
    """Close the gaps of a trace.

    ``flags`` are the kernel's flags of each page at the end; ``pcp_pages`` how
    many pages then lay in per-processor lists, whose flags look like those of a
    held page: the ones freed last.
    """
    events = list(traced)
    pages = _Pages()
    for position, event in enumerate(events):
        pages.take(event, position)
    _end(pages, flags, pcp_pages, len(events))
    given = [(_when(pages, pfn, low, high), pfn) for pfn, low, high in pages.gaps]
    return Story(
        start=tuple(runs_of(sorted(pages.start))),
        events=tuple(_woven(events, given)),
        untraced=len(given),
        overlaps=pages.overlaps,
    )


def _end(pages: _Pages, flags: Sequence[int], pcp_pages: int, end: int) -> None:
    """What is not free at the end and not held was given out unseen, or never free."""
    unseen: list[int] = []
    never: list[int] = []
    for pfn, bits in enumerate(flags):
        if not is_free(bits) and pfn not in pages.held:
            (unseen if pfn in pages.freed_at else never).append(pfn)
    # Lists are stacks: what was freed last still lies in them.
    unseen.sort(key=lambda pfn: pages.freed_at[pfn])
    given = unseen[: max(0, len(unseen) - pcp_pages)]
    pages.gaps.extend((pfn, pages.freed_at[pfn], end) for pfn in given)
    left = pcp_pages - (len(unseen) - len(given))
    pages.start.update(set(never) - set(_refilled(pages, never, flags, left)))


def _refilled(
    pages: _Pages, never: Sequence[int], flags: Sequence[int], left: int
) -> Iterable[int]:
    """Pages that lists took from the allocator and nobody was given yet.

    They are the rest of a batch: a long run without flags in a pageblock out of
    which others were given.
    """
    plain = [p for p in never if flags[p] == 0 and p // PAGES_PER_PAGEBLOCK in pages.given_at]
    for first, count in sorted(runs_of(plain), key=lambda run: (-run[1], run[0])):
        taken = min(left, count)
        yield from range(first + count - taken, first + count)
        left -= taken


def _when(pages: _Pages, pfn: int, after: int, before: int) -> int:
    """A position between two, near to when the nearest neighbour was given out."""
    near = pages.given_at.get(pfn // PAGES_PER_PAGEBLOCK, {})
    others = [other for other in near if other != pfn]
    nearest = min(others, key=lambda other: (abs(other - pfn), other), default=None)
    position = after if nearest is None else near[nearest]
    return min(max(position, after), before - 1) + 1


def _woven(events: Sequence[PageEvent], given: Iterable[tuple[int, int]]) -> Iterable[PageEvent]:
    """The events, with what was given out unseen between them."""
    waiting = sorted(given)
    positions = [position for position, _ in waiting]
    done = 0
    for position, event in enumerate(events):
        upto = bisect_left(positions, position + 1, done)
        for _, pfn in waiting[done:upto]:
            yield Allocated(pfn, 0, GFP_VMALLOC, _UNMOVABLE, traced=False)
        done = upto
        yield event
    for _, pfn in waiting[done:]:
        yield Allocated(pfn, 0, GFP_VMALLOC, _UNMOVABLE, traced=False)
