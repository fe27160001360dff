"""Where the kernel's own addresses lead: the direct map, once kernel memory moves.

The direct map is one address for each frame. As long as nothing of the
kernel's moves, an address leads to the frame of the same number. What moves
keeps its address, which then leads to its new frame; the address of that one
leads to the old frame. So the map stays one to one, and both neighbourhoods
are mapped by single pages from then on.
"""

from collections.abc import Iterator

import numpy as np

from memhp.model.pages.frames import Pfns


class KernelMap:
    """Which frame each address of the direct map leads to; addresses are counted in pages."""

    __slots__ = ("_frame_of", "_page_of")

    def __init__(self) -> None:
        self._frame_of: dict[int, int] = {}
        self._page_of: dict[int, int] = {}

    def frame(self, page: int) -> int:
        """The frame that an address leads to."""
        return self._frame_of.get(page, page)

    def page(self, frame: int) -> int:
        """The address that leads to a frame."""
        return self._page_of.get(frame, frame)

    def exchange(self, old: Pfns, new: Pfns) -> None:
        """Let the addresses that lead to the old frames lead to the new ones, and the other way."""
        for here, there in zip(old.tolist(), new.tolist(), strict=True):
            first, second = self.page(here), self.page(there)
            self._lead(first, there)
            self._lead(second, here)

    def moved(self) -> Iterator[tuple[int, int]]:
        """Every address that leads to another frame, with that frame, ascending."""
        return iter(sorted(self._frame_of.items()))

    def restore(self, moved: Iterator[tuple[int, int]]) -> None:
        """Take over what ``moved()`` gave."""
        for page, frame in moved:
            self._lead(page, frame)

    def units(self, frames: Pfns, pages_per_unit: int) -> list[int]:
        """The stretches of addresses that lead to these frames."""
        pages = np.array([self.page(frame) for frame in frames.tolist()], np.int64)
        return [int(unit) for unit in np.unique(pages // pages_per_unit)]

    def _lead(self, page: int, frame: int) -> None:
        if page == frame:
            self._frame_of.pop(page, None)
            self._page_of.pop(frame, None)
        else:
            self._frame_of[page] = frame
            self._page_of[frame] = page
