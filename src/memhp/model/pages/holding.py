"""A holding: what one request got, and its place in the table of all."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from memhp.model.pages.words import PageKind

SLOTS_PER_UNIT: Final = 16
"""Places in the table are given out in units of so many slots."""


@dataclass(slots=True, kw_only=True)
class Holding:
    """Chunks of one order that one owner got for one purpose.

    ``number`` is never used twice. ``first`` is its first slot and ``count``
    how many it has, those of freed chunks included. A ``pinned`` holding looks
    movable and is not. ``origin`` is where the content of a part of a split
    chunk came from: the number of a holding and a page in it. ``shared_with``
    are the owners that map the same pages after a fork.
    """

    number: int
    kind: PageKind
    owner: str
    order: int
    first: int
    count: int
    pinned: bool = False
    mlocked: bool = False
    origin: tuple[int, int] | None = None
    shared_with: tuple[str, ...] = ()

    @property
    def movable(self) -> bool:
        """Whether its pages look movable to the kernel."""
        return self.kind.movable


def each_from(
    firsts: npt.NDArray[np.int64], counts: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """So many numbers in a row from each of several."""
    ends = np.cumsum(counts)
    found: npt.NDArray[np.int64] = np.arange(ends[-1]) + np.repeat(firsts - ends + counts, counts)
    return found
