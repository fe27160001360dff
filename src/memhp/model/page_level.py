"""What the rest of the model asks of the pages, where a machine has any; no numpy here."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from memhp.core.geometry import NodeId
from memhp.core.words import ZoneType

if TYPE_CHECKING:
    from memhp.model.kernel import Kernel


@dataclass(frozen=True, slots=True, kw_only=True)
class Obstacle:
    """A page that keeps its block from going offline: where, what it is, whose."""

    pfn: int
    what: str
    owner: str

    def __str__(self) -> str:
        return f"page frame {self.pfn:#x}: {self.what} of {self.owner}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """What is still in a block after a round of migration, and why.

    ``moved`` counts pages that went; ``no_room`` those for which none was
    found elsewhere; ``pinned`` those that somebody keeps from moving.
    """

    moved: int = 0
    no_room: int = 0
    pinned: int = 0

    @property
    def nothing(self) -> bool:
        return not self.no_room and not self.pinned

    def __str__(self) -> str:
        words = []
        if self.no_room:
            words.append(f"no room elsewhere for {self.no_room} pages")
        if self.pinned:
            words.append(f"{self.pinned} pages pinned")
        return ", ".join(words)


class PageLevel(Protocol):
    """The pages of a machine (``memhp.model.pages.machine_pages.MachinePages``).

    A machine of which no page was ever touched has none of this, and blocks
    and zones are all that is known. Ranges are frames, half-open.
    """

    def obstacle(self, start: int, end: int) -> Obstacle | None:
        """Find the page at which ``start_isolate_page_range()`` would stop, if any."""

    def isolate(self, start: int, end: int) -> Obstacle | None:
        """Isolate a range, or say what stands in the way, with the traces that leaves."""

    def move_out(self, kernel: "Kernel", start: int, end: int) -> Left:
        """Migrate what an isolated range holds, once; says what is left."""

    def put_back(self, start: int, end: int) -> None:
        """Undo the isolation: every pageblock is movable now (``undo_isolate_page_range()``)."""

    def leave(self, start: int, end: int) -> None:
        """Take an isolated range without content from its zone."""

    def enter(self, kernel: "Kernel", node: NodeId, zone: ZoneType, start: int, end: int) -> None:
        """Hand the frames of a block that comes online to its zone."""

    def refresh(self, kernel: "Kernel") -> None:
        """Take over marks and zonelists after a change of what is online."""
