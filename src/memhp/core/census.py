"""Which kinds of page lie in a memory block."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from memhp.core.geometry import BlockId


class PageKind(StrEnum):
    """What a page is to someone who wants the block that it lies in."""

    FREE = "free"
    MOVABLE = "movable"
    UNMOVABLE = "unmovable"
    DRIVER = "driver"
    POISONED = "poisoned"
    HOLE = "hole"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockCensus:
    """How many pages of each kind one block holds; kinds with none are left out."""

    block: BlockId
    pages: Mapping[PageKind, int]

    @property
    def nr_pages(self) -> int:
        """All pages of the block, whatever their kind."""
        return sum(self.pages.values())
