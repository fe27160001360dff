"""What the pages of a block tell the rest of the model; no numpy here."""

from dataclasses import dataclass


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
