"""What counters in ``/proc`` say of a machine's pages, by zone and by what holds them."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class PageNumbers:
    """Counts of one zone, in pages.

    ``by_kind`` has the name of a kind (``PageKind.name``); ``cached`` are the
    pages on per-cpu lists, by processor.
    """

    free: int
    cached: Mapping[int, int] = field(default_factory=dict)
    by_kind: Mapping[str, int] = field(default_factory=dict)
    mlocked: int = 0
    high: int = 0
    batch: int = 1

    def of(self, *kinds: str) -> int:
        """How many pages are of these kinds."""
        return sum(self.by_kind.get(kind, 0) for kind in kinds)
