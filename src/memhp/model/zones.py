"""A zone of a node: its span, what is present in it, and how both change.

Source: ``resize_zone_range()``, ``shrink_zone_span()``,
``find_smallest_section_pfn()`` and ``find_biggest_section_pfn()``.
"""

from dataclasses import dataclass, field

from memhp.core.geometry import PAGES_PER_SUBSECTION, NodeId
from memhp.core.words import ZoneType
from memhp.model.runs import RangeSet


@dataclass(slots=True, kw_only=True)
class Zone:
    """``struct zone``. All counts are pages.

    ``present_early`` are those present since boot. ``kernel_pages`` are what
    the kernel itself took for the memory map and page tables of other memory.
    ``linked`` are the frames of online sections whose page structures name
    this zone, holes in boot sections included.
    """

    node: NodeId
    zone: ZoneType
    start_pfn: int = 0
    spanned: int = 0
    present: int = 0
    present_early: int = 0
    managed: int = 0
    kernel_pages: int = 0
    linked: RangeSet = field(default_factory=RangeSet)

    @property
    def end_pfn(self) -> int:
        """The first frame behind the span."""
        return self.start_pfn + self.spanned

    @property
    def populated(self) -> bool:
        """``populated_zone()``: whether any page is present."""
        return self.present > 0

    def intersects(self, start_pfn: int, nr_pages: int) -> bool:
        """``zone_intersects()``: by the span, holes included; an empty zone never does."""
        return (
            self.spanned > 0 and start_pfn < self.end_pfn and start_pfn + nr_pages > self.start_pfn
        )

    def grow(self, start_pfn: int, nr_pages: int) -> None:
        """Widen the span to take in a range (``resize_zone_range()``)."""
        old_end = self.end_pfn
        if self.spanned == 0 or start_pfn < self.start_pfn:
            self.start_pfn = start_pfn
        self.spanned = max(start_pfn + nr_pages, old_end) - self.start_pfn

    def shrink(self, start_pfn: int, end_pfn: int) -> None:
        """Narrow the span where the range touches an edge (``shrink_zone_span()``).

        The range is no longer in ``linked``. A range in the middle leaves the
        span as it is, and so does one that the span does not begin or end with.
        """
        if self.start_pfn == start_pfn:
            self._begin_at(self._smallest(end_pfn, self.end_pfn))
        elif self.end_pfn == end_pfn:
            self._end_at(self._biggest(self.start_pfn, start_pfn))

    def _begin_at(self, pfn: int | None) -> None:
        self.spanned = 0 if pfn is None else self.end_pfn - pfn
        self.start_pfn = pfn or 0

    def _end_at(self, pfn: int | None) -> None:
        self.spanned = 0 if pfn is None else pfn - self.start_pfn + 1
        self.start_pfn = 0 if pfn is None else self.start_pfn

    def _smallest(self, start: int, end: int) -> int | None:
        """The first linked frame at ``start`` plus whole subsections."""
        for run in self.linked.within(start, end):
            pfn = start + -(-(run.start - start) // PAGES_PER_SUBSECTION) * PAGES_PER_SUBSECTION
            if pfn < run.end:
                return pfn
        return None

    def _biggest(self, start: int, end: int) -> int | None:
        """The last linked frame at ``end - 1`` less whole subsections."""
        for run in self.linked.before(end):
            if run.end <= start:
                break
            behind = end - run.end
            pfn = end - 1 - -(-behind // PAGES_PER_SUBSECTION) * PAGES_PER_SUBSECTION
            if pfn >= max(start, run.start):
                return pfn
        return None
