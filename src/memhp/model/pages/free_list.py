"""A free list: chunk heads in order, with cheap pushing at both ends and removing anywhere.

The kernel's lists are linked; these are arrays in which a removed entry leaves
a gap, so that a thousand entries are taken at once. ``Frames.link`` of a free
chunk's first frame tells its place. The order is exactly the kernel's.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from memhp.core.geometry import MAX_ORDER_NR_PAGES, PAGES_PER_SECTION
from memhp.model.pages.frames import Frames, Pfns

CHUNKS_PER_SECTION: Final = PAGES_PER_SECTION // MAX_ORDER_NR_PAGES
_GONE: Final = -1
_START: Final = 1 << 31
"""Places are unsigned and grow in both directions from here."""
_SMALL: Final = 64


class FreeList:
    """Chunk heads from the head of the list (high places) to its tail (low places)."""

    __slots__ = ("_base", "_buf", "_high", "_low", "count", "frames")

    def __init__(self, frames: Frames) -> None:
        self.frames = frames
        self.count = 0
        self._buf: npt.NDArray[np.int64] = np.full(_SMALL, _GONE, np.int64)
        self._base = _START - _SMALL // 2
        self._low = self._high = _START

    def __len__(self) -> int:
        return self.count

    def raw(self) -> Pfns:
        """Every entry as it is kept, from the tail of the list to its head."""
        kept = self._buf[self._low - self._base : self._high - self._base]
        entries: Pfns = kept[kept != _GONE]
        return entries

    def fill(self, raw: Pfns) -> None:
        """Begin anew with entries as ``raw()`` gave them."""
        self._set_entries(raw)
        self.count = len(raw)

    def entries(self) -> Pfns:
        """Every chunk head, from the head of the list to its tail."""
        live = self._buf[self._low - self._base : self._high - self._base][::-1]
        entries: Pfns = live[live != _GONE]
        return entries

    def first(self) -> int:
        """The head of the list; the list is not empty."""
        self._trim()
        return int(self._buf[self._high - 1 - self._base])

    def pop(self) -> int:
        """Take the head of the list; the list is not empty."""
        self._trim()
        self._high -= 1
        self.count -= 1
        place = self._high - self._base
        pfn = int(self._buf[place])
        self._buf[place] = _GONE
        return pfn

    def pop_many(self, wanted: int) -> Pfns:
        """Take up to so many from the head, in order."""
        wanted = min(wanted, self.count)
        parts: list[Pfns] = []
        while wanted > 0:
            low = max(self._low, self._high - max(wanted, _SMALL))
            part = self._buf[low - self._base : self._high - self._base][::-1]
            (places,) = np.nonzero(part != _GONE)
            if len(places) > wanted:
                places = places[:wanted]
                low = self._high - 1 - int(places[-1])
            live = part[places]
            self._buf[low - self._base : self._high - self._base] = _GONE
            self._high = low
            self.count -= len(live)
            wanted -= len(live)
            parts.append(live)
        if not parts:
            return np.empty(0, np.int64)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def push(self, pfn: int, *, tail: bool = False) -> None:
        """Put a chunk at the head, or at the tail."""
        if tail:
            if self._low == self._base:
                self._make_room(1)
            self._low -= 1
            place = self._low
        else:
            if self._high - self._base == len(self._buf):
                self._make_room(1)
            place = self._high
            self._high += 1
        self._buf[place - self._base] = pfn
        self.frames.link_view[pfn] = place
        self.count += 1

    def push_many(self, pfns: Pfns, *, tail: bool = False) -> None:
        """Put chunks in one by one, in this order: the last ends up outermost."""
        number = len(pfns)
        if tail:
            if self._low - self._base < number:
                self._make_room(number)
            first, step, pfns = self._low - number, 1, pfns[::-1]
            self._low = first
        else:
            if self._high - self._base + number > len(self._buf):
                self._make_room(number)
            first, step = self._high, 1
            self._high += number
        place = first - self._base
        self._buf[place : place + number] = pfns
        self.frames.link[pfns] = np.arange(first, first + number * step, dtype=np.uint32)
        self.count += number

    def remove(self, pfn: int) -> None:
        """Take a chunk out, wherever it is in the list."""
        self._buf[self.frames.link_view[pfn] - self._base] = _GONE
        self.count -= 1

    def remove_many(self, pfns: Pfns) -> None:
        """Take chunks out, wherever they are."""
        self._buf[self.frames.link[pfns].astype(np.int64) - self._base] = _GONE
        self.count -= len(pfns)

    def _trim(self) -> None:
        """Drop gaps at the head, so that an entry is there."""
        buf, base = self._buf, self._base
        while buf[self._high - 1 - base] == _GONE:
            self._high -= 1

    def _make_room(self, number: int) -> None:
        """Close the gaps, and grow where that is not enough; the list begins anew in the middle."""
        low, high = self._low - self._base, self._high - self._base
        live = self._buf[low:high]
        self._set_entries(live[live != _GONE], number)

    def _set_entries(self, live: Pfns, room: int = 0) -> None:
        """Begin anew with these, the tail of the list first."""
        size = _SMALL
        while size < 2 * (len(live) + room) + _SMALL:
            size *= 2
        self._buf = np.full(size, _GONE, np.int64)
        self._base = _START - size // 2
        self._low = _START - len(live) // 2
        self._high = self._low + len(live)
        self._buf[self._low - self._base : self._high - self._base] = live
        self._renumber(live, self._low)

    def _renumber(self, live: Pfns, first: int) -> None:
        self.frames.link[live] = np.arange(first, first + len(live), dtype=np.uint32)


class LargestList(FreeList):
    """A list of largest chunks, in which a section that nobody has touched is one entry.

    Such a section stands for its chunks in ascending order, and becomes that
    many entries when it is reached or one of its chunks is wanted. ``count``
    counts chunks.
    """

    __slots__ = ()

    def fill(self, raw: Pfns) -> None:
        sections = -2 - raw[raw < _GONE]
        self.frames.pristine[sections] = 1
        super().fill(raw)
        self.count += len(sections) * (CHUNKS_PER_SECTION - 1)

    def entries(self) -> Pfns:
        raw = super().entries()
        if not (raw < _GONE).any():
            return raw
        parts = [np.array([e]) if e >= 0 else _chunks_of(_section(e)) for e in raw]
        return np.concatenate(parts)

    def push_sections(self, sections: range) -> None:
        """Put pristine sections at the tail, the first of them foremost."""
        number = len(sections)
        if self._low - self._base < number:
            self._make_room(number)
        self._low -= number
        place = self._low - self._base
        entries = -2 - np.arange(sections.start, sections.stop, dtype=np.int64)[::-1]
        self._buf[place : place + number] = entries
        self.frames.section_place[sections.start : sections.stop] = np.arange(
            self._low + number - 1, self._low - 1, -1, dtype=np.int64
        )
        self.frames.pristine[sections.start : sections.stop] = 1
        self.count += number * CHUNKS_PER_SECTION

    def remove_section(self, section: int) -> None:
        """Take a pristine section out; its frames stay as they are."""
        self._buf[int(self.frames.section_place[section]) - self._base] = _GONE
        self.frames.pristine[section] = 0
        self.count -= CHUNKS_PER_SECTION

    def touch_section(self, section: int) -> None:
        """Make a pristine section's chunks entries of their own, where it stands."""
        raw = super().entries()
        (at,) = np.nonzero(raw == -2 - section)
        place = int(at[0])
        whole = np.concatenate((raw[:place], _chunks_of(section), raw[place + 1 :]))
        self.frames.write_chunks(section)
        self._set_entries(whole[::-1])

    def pop_many(self, wanted: int) -> Pfns:
        wanted = min(wanted, self.count)
        parts: list[Pfns] = []
        while wanted > 0:
            self._trim()
            low = max(self._low, self._high - max(wanted, _SMALL)) - self._base
            part = self._buf[low : self._high - self._base][::-1]
            (sections,) = np.nonzero(part < _GONE)
            window = int(sections[0]) if len(sections) else len(part)
            live = int(np.count_nonzero(part[:window] != _GONE))
            parts.append(super().pop_many(min(wanted, live)))
            wanted -= len(parts[-1])
        return np.concatenate(parts) if parts else np.empty(0, np.int64)

    def _trim(self) -> None:
        super()._trim()
        entry = int(self._buf[self._high - 1 - self._base])
        if entry < _GONE:
            section = _section(entry)
            self.remove_section(section)
            self._high -= 1
            self.frames.write_chunks(section)
            self.push_many(_chunks_of(section)[::-1])

    def _renumber(self, live: Pfns, first: int) -> None:
        places = np.arange(first, first + len(live), dtype=np.uint32)
        plain = live >= 0
        self.frames.link[live[plain]] = places[plain]
        self.frames.section_place[-2 - live[~plain]] = places[~plain]


def _section(entry: int) -> int:
    return -2 - int(entry)


def _chunks_of(section: int) -> Pfns:
    first = section * PAGES_PER_SECTION
    return np.arange(first, first + PAGES_PER_SECTION, MAX_ORDER_NR_PAGES, dtype=np.int64)
