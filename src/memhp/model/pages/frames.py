"""What is known of every page frame: flat arrays that cost nothing until written.

The arrays reach over the whole address space, but the memory behind them comes
from the operating system page by page when it is first written, so a section
that nobody has touched costs nothing.

A byte says what a frame is (the codes below, with the order in the low bits
where a chunk begins), and a number more where to look on: the place in a free
list for a free chunk, the slot in the table of holders for a held page.
"""

import mmap
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from memhp.core.geometry import MAX_ORDER_NR_PAGES, PAGES_PER_PAGEBLOCK, PAGES_PER_SECTION
from memhp.model.pages.words import MAX_ORDER, MigrateType

Pfns = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]

UNTOUCHED: Final = 0x00
"""In a pristine section a free page; elsewhere no page at all."""
MOVABLE: Final = 0x20
UNMOVABLE: Final = 0x30
CACHED: Final = 0x40
"""On a per-cpu list: free, but not the buddy allocator's."""
TAILS: Final = 0x50
"""The class of all frames of a chunk but its first."""
FREE_TAIL: Final = 0x50
MOVABLE_TAIL: Final = 0x51
UNMOVABLE_TAIL: Final = 0x52
CACHED_TAIL: Final = 0x53
RESERVED: Final = 0x60
OFFLINE_PAGE: Final = 0x61
"""``PageOffline``: plugged out of a virtio-mem block."""
POISONED: Final = 0x62
SELF_HOSTED: Final = 0x63
"""Part of the memory map of its own block (``memmap_on_memory``)."""
FREE: Final = 0x80
"""The head of a chunk on a free list: with its order, and in between the list's migrate type.

The type of its pageblock may be another: 6.1 moves chunks and leaves pageblocks.
"""
FREE_MASK: Final = FREE | 0x0F
TYPE_SHIFT: Final = 4
CLASS: Final = 0xF0
ORDER: Final = 0x0F

_MAP_NORESERVE: Final = 0x4000
"""Of ``mmap(2)`` on Linux; Python's module has it from 3.13 on."""
_MADV_NOHUGEPAGE: Final = 15


class Frames:
    """The arrays, for frames below ``nr_frames``.

    ``zone`` and ``migratetype`` hold a number each pageblock; a zone's number
    is its place in ``Pages.areas`` plus one, 0 where there is none. Places and
    slots share ``link``.

    Model: a pageblock is of one zone, that of its first page.
    """

    __slots__ = (
        "_maps",
        "link",
        "link_view",
        "migratetype",
        "nr_frames",
        "pristine",
        "section_place",
        "state",
        "state_view",
        "zone",
    )

    def __init__(self, nr_frames: int) -> None:
        self.nr_frames = -(-nr_frames // PAGES_PER_SECTION) * PAGES_PER_SECTION
        self._maps: list[mmap.mmap] = []
        self.state: Bytes = self._lazy(self.nr_frames, np.uint8)
        self.link: npt.NDArray[np.uint32] = self._lazy(self.nr_frames, np.uint32)
        # One frame is read and written faster through these.
        self.state_view = memoryview(self._maps[0])
        self.link_view = memoryview(self._maps[1]).cast("I")
        blocks = self.nr_frames // PAGES_PER_PAGEBLOCK
        self.migratetype: Bytes = self._lazy(blocks, np.uint8)
        self.zone: npt.NDArray[np.uint16] = self._lazy(blocks, np.uint16)
        sections = self.nr_frames // PAGES_PER_SECTION
        self.pristine: Bytes = self._lazy(sections, np.uint8)
        self.section_place: npt.NDArray[np.uint32] = self._lazy(sections, np.uint32)

    def _lazy(self, length: int, dtype: Any) -> npt.NDArray[Any]:
        array, backing = lazy_array(length, dtype)
        self._maps.append(backing)
        return array

    ISOLATED: Final = 2
    """In ``pristine``: untouched and isolated, so on no list."""

    def forget(self, start: int, end: int) -> None:
        """Write nothing into frames that are gone, where anything was written."""
        codes = self.state[start:end]
        if codes.any():
            codes[:] = UNTOUCHED

    def zone_of(self, pfn: int) -> int:
        """The number of the zone of a frame; 0 where there is none."""
        return int(self.zone[pfn // PAGES_PER_PAGEBLOCK])

    def write_chunks(self, section: int) -> None:
        """Write down that a section is free in largest chunks, which no frame said before."""
        first = section * PAGES_PER_SECTION
        part = self.state[first : first + PAGES_PER_SECTION]
        part[:] = FREE_TAIL
        part[::MAX_ORDER_NR_PAGES] = free_head(MigrateType.MOVABLE, MAX_ORDER)
        self.pristine[section] = 0


def free_head(migratetype: int, order: int) -> int:
    """The code of the head of a free chunk."""
    return FREE | migratetype << TYPE_SHIFT | order


def lazy_array(length: int, dtype: Any) -> tuple[npt.NDArray[Any], mmap.mmap]:
    """Make an array of zeros whose memory comes when it is written, and what backs it."""
    size_bytes = max(1, length) * np.dtype(dtype).itemsize
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE
    backing = mmap.mmap(-1, size_bytes, flags=flags)
    # Huge pages would make one touched page cost the state of two million.
    backing.madvise(getattr(mmap, "MADV_NOHUGEPAGE", _MADV_NOHUGEPAGE))
    return np.frombuffer(backing, dtype=dtype, count=length), backing
