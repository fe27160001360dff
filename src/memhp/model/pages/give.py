"""Giving chunks back to a zone's free lists, merging them with their buddies.

Many at once are given back with the same result, to the order of every list,
as one by one. Which chunks are free in the end does not depend on the order in
which pages come; a chunk's place in its list is that of the page that
completed it; and it goes to the tail where the chunk that it would next merge
into was half free at that moment. So a batch is merged level by level, each
candidate carrying the number of its last page, and ranges of frames that come
in ascending order are looked at only at their ends.

Source: ``__free_one_page()``, ``buddy_merge_likely()``.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from memhp.core.geometry import PAGES_PER_PAGEBLOCK
from memhp.model.pages.area import NONE, Area
from memhp.model.pages.frames import FREE, FREE_MASK, FREE_TAIL, TYPE_SHIFT, Pfns
from memhp.model.pages.words import MAX_ORDER, PAGEBLOCK_ORDER, MigrateType

_FEW: Final = 6
"""Up to so many chunks are given back one by one: arrays would take longer."""
_SLICE_PAYS: Final = 16
"""Ranges longer than this are written as slices, shorter ones frame by frame."""
_ZERO: Final = np.zeros(1, np.int64)
_UNMERGEABLE: Final = MigrateType.HIGHATOMIC


@dataclass(slots=True)
class _Runs:
    """Ranges of chunks that come in ascending order: units ``[start, end)``.

    The unit ``x`` that they began with came at ``offset + x``.
    """

    start: Pfns
    end: Pfns
    offset: Pfns


@dataclass(slots=True)
class _Chunks:
    """Chunks of one order: their units, and when each was complete."""

    unit: Pfns
    time: Pfns


@dataclass(frozen=True, slots=True)
class _Merged:
    """Which chunks merge: with the next one, with the one before, with one on a list."""

    paired: npt.NDArray[np.bool_]
    second: npt.NDArray[np.bool_]
    listed: npt.NDArray[np.bool_]


def give(area: Area, heads: Pfns, order: int) -> None:
    """Give chunks of one order back, in this order, each to the type of its pageblock."""
    if order > PAGEBLOCK_ORDER:
        # split_large_buddy(): never more than a pageblock at once.
        halves = np.array([0, PAGES_PER_PAGEBLOCK])
        heads, order = (heads[:, None] + halves).ravel(), PAGEBLOCK_ORDER
    if len(heads) <= _FEW:
        for pfn in heads.tolist():
            _give_one(area, pfn, order)
        return
    _count(area, heads, order)
    runs = _runs_of(heads >> order)
    _write_tails(area, heads, order, runs)
    _list(area, _merge(area, runs, order))


def give_to(area: Area, pfn: int, order: int, *, tail: bool) -> None:
    """Give one chunk back, to the tail of its list if asked (``FPI_TO_TAIL``)."""
    _give_one(area, pfn, order, to_tail=tail)


def _give_one(area: Area, pfn: int, order: int, *, to_tail: bool = False) -> None:
    frames = area.frames
    view = frames.state_view
    frames.state[pfn : pfn + (1 << order)] = FREE_TAIL
    migratetype = frames.migratetype[pfn // PAGES_PER_PAGEBLOCK].item()
    area.account(migratetype, 1 << order)
    while order < MAX_ORDER:
        buddy = pfn ^ (1 << order)
        code = view[buddy]
        if code & FREE_MASK != FREE | order:
            break
        theirs = (code & ~FREE) >> TYPE_SHIFT
        if order >= PAGEBLOCK_ORDER and not _may_merge(area, buddy, migratetype):
            break
        area.lists[theirs][order].remove(buddy)
        view[buddy] = FREE_TAIL
        if order >= PAGEBLOCK_ORDER:
            frames.migratetype[buddy // PAGES_PER_PAGEBLOCK] = migratetype
        pfn &= buddy
        order += 1
    tail = to_tail or _merge_likely(area, pfn, order)
    area.put(pfn, order, migratetype, tail=tail)


def _may_merge(area: Area, buddy: int, migratetype: int) -> bool:
    """Whether two pageblocks may be one chunk: of the same zone, and neither apart."""
    block = buddy // PAGES_PER_PAGEBLOCK
    if area.frames.zone[block] != area.index:
        return False
    theirs: int = area.frames.migratetype[block].item()
    return theirs == migratetype or max(theirs, migratetype) < _UNMERGEABLE


def _merge_likely(area: Area, pfn: int, order: int) -> bool:
    if order >= MAX_ORDER - 1:
        return False
    half = 1 << order
    code = area.frames.state_view[(pfn & ~half) ^ (half << 1)]
    return bool(code & FREE_MASK == FREE | order + 1)


def _count(area: Area, heads: Pfns, order: int) -> None:
    types = area.frames.migratetype[heads // PAGES_PER_PAGEBLOCK]
    isolated = int(np.count_nonzero(types == MigrateType.ISOLATE))
    area.isolated += isolated << order
    area.free += len(heads) - isolated << order


def _runs_of(units: Pfns) -> _Runs:
    breaks = np.flatnonzero(np.diff(units) != 1) + 1
    first = np.concatenate((_ZERO, breaks))
    last = np.concatenate((breaks, np.array([len(units)]))) - 1
    return _Runs(units[first], units[last] + 1, first - units[first])


def _write_tails(area: Area, heads: Pfns, order: int, runs: _Runs) -> None:
    state = area.frames.state
    if len(runs.start) * _SLICE_PAYS < len(heads) << order:
        for start, end in zip(runs.start.tolist(), runs.end.tolist(), strict=True):
            state[start << order : end << order] = FREE_TAIL
    else:
        state[(heads[:, None] + np.arange(1 << order)).ravel()] = FREE_TAIL


def _merge(area: Area, runs: _Runs, order: int) -> dict[int, _Chunks]:
    """Merge up; gives the final chunks by order."""
    finals: dict[int, _Chunks] = {}
    chunks = _Chunks(NONE, NONE)
    for level in range(order, PAGEBLOCK_ORDER):
        chunks = _with_ends(chunks, runs, level - order)
        if len(chunks.unit):
            merged = _pair(area, chunks, level)
            finals[level], chunks = _split(chunks, merged)
    chunks = _with_all(chunks, runs, PAGEBLOCK_ORDER - order)
    merged = _pair(area, chunks, PAGEBLOCK_ORDER)
    finals[PAGEBLOCK_ORDER], largest = _split(chunks, merged)
    return finals | {MAX_ORDER: largest}


def _with_ends(chunks: _Chunks, runs: _Runs, doubled: int) -> _Chunks:
    """Add what sticks out of the ranges at this level, and halve the units of the rest."""
    if not len(runs.start):
        return chunks
    start, end = runs.start, runs.end
    odd = start & 1 != 0
    after = start + odd
    odd_end = (end & 1 != 0) & (after < end)
    units = np.concatenate((start[odd], end[odd_end] - 1))
    offsets = np.concatenate((runs.offset[odd], runs.offset[odd_end]))
    start, end = after >> 1, end >> 1
    left = start < end
    runs.start, runs.end, runs.offset = start[left], end[left], runs.offset[left]
    return _joined(chunks, units, offsets, doubled)


def _with_all(chunks: _Chunks, runs: _Runs, doubled: int) -> _Chunks:
    """Add every chunk of the ranges."""
    sizes = runs.end - runs.start
    ahead = np.cumsum(sizes) - sizes
    units = np.repeat(runs.start - ahead, sizes) + np.arange(int(sizes.sum()))
    return _joined(chunks, units, np.repeat(runs.offset, sizes), doubled)


def _joined(chunks: _Chunks, units: Pfns, offsets: Pfns, doubled: int) -> _Chunks:
    """Both together by address; a chunk of a range is complete with its last unit."""
    if not len(units):
        return chunks
    times = offsets + (units + 1 << doubled) - 1
    units, times = np.concatenate((chunks.unit, units)), np.concatenate((chunks.time, times))
    ascending = np.argsort(units, kind="stable")
    return _Chunks(units[ascending], times[ascending])


def _pair(area: Area, chunks: _Chunks, level: int) -> _Merged:
    """Find the buddies of chunks, among themselves and on the lists, and unlist the latter."""
    units = chunks.unit
    paired = np.zeros(len(units), bool)
    paired[:-1] = (units[:-1] & 1 == 0) & (units[1:] == units[:-1] + 1)
    heads = (units ^ 1) << level
    codes = area.frames.state[heads]
    listed = codes & FREE_MASK == FREE | level
    if level == PAGEBLOCK_ORDER:
        allowed = _may_merge_many(area, units)
        paired &= allowed
        listed &= allowed
    second = np.zeros(len(units), bool)
    second[1:] = paired[:-1]
    _unlist(area, heads[listed], codes[listed], level)
    if level == PAGEBLOCK_ORDER:
        _set_types(area, chunks, paired, listed)
    return _Merged(paired, second, listed)


def _may_merge_many(area: Area, blocks: Pfns) -> npt.NDArray[np.bool_]:
    frames = area.frames
    mine, theirs = frames.migratetype[blocks], frames.migratetype[blocks ^ 1]
    alike = (mine == theirs) | (np.maximum(mine, theirs) < _UNMERGEABLE)
    allowed: npt.NDArray[np.bool_] = alike & (frames.zone[blocks ^ 1] == area.index)
    return allowed


def _unlist(area: Area, heads: Pfns, codes: npt.NDArray[np.uint8], level: int) -> None:
    if not len(heads):
        return
    types = (codes & ~np.uint8(FREE)) >> TYPE_SHIFT
    for migratetype in np.unique(types).tolist():
        area.lists[migratetype][level].remove_many(heads[types == migratetype])
    area.frames.state[heads] = FREE_TAIL


def _set_types(
    area: Area, chunks: _Chunks, paired: npt.NDArray[np.bool_], listed: npt.NDArray[np.bool_]
) -> None:
    """Two pageblocks that become one chunk take the type of the one that came last.

    Model: 6.1 gives the chunk that type and leaves the pageblocks theirs; here
    both kernels set it, which 6.1 does as soon as the chunk is taken.
    """
    types = area.frames.migratetype
    blocks = chunks.unit
    types[blocks[listed] ^ 1] = types[blocks[listed]]
    (first,) = np.nonzero(paired)
    earlier = chunks.time[first] < chunks.time[first + 1]
    winner, other = blocks[first + earlier], blocks[first + ~earlier]
    types[other] = types[winner]


def _split(chunks: _Chunks, merged: _Merged) -> tuple[_Chunks, _Chunks]:
    """The chunks that stay as they are, and the larger ones that the others become."""
    stay = ~(merged.paired | merged.second | merged.listed)
    (first,) = np.nonzero(merged.paired)
    times = np.maximum(chunks.time[first], chunks.time[first + 1])
    up = np.concatenate((chunks.unit[first], chunks.unit[merged.listed])) >> 1
    when = np.concatenate((times, chunks.time[merged.listed]))
    ascending = np.argsort(up, kind="stable")
    return (
        _Chunks(chunks.unit[stay], chunks.time[stay]),
        _Chunks(up[ascending], when[ascending]),
    )


def _list(area: Area, finals: dict[int, _Chunks]) -> None:
    """Put the final chunks on their lists, each kind in the order in which they came."""
    tails = {level: _to_tail(area, finals, level) for level in finals}
    for level, chunks in finals.items():
        order = np.argsort(chunks.time)
        heads, tail = chunks.unit[order] << level, tails[level][order]
        types = area.frames.migratetype[heads // PAGES_PER_PAGEBLOCK]
        for migratetype in _distinct(types):
            mine = types == migratetype
            for at_tail in (False, True):
                chosen = heads[mine & (tail == at_tail)]
                if len(chosen):
                    area.put_many(chosen, level, migratetype, tail=at_tail)


def _to_tail(area: Area, finals: dict[int, _Chunks], level: int) -> npt.NDArray[np.bool_]:
    """Whether the next merge of each chunk was likely when it came (``buddy_merge_likely()``)."""
    chunks = finals[level]
    if level >= MAX_ORDER - 1 or not len(chunks.unit):
        return np.zeros(len(chunks.unit), bool)
    higher = chunks.unit >> 1 ^ 1
    codes = area.frames.state[higher << level + 1]
    likely: npt.NDArray[np.bool_] = codes & FREE_MASK == FREE | level + 1
    above = finals.get(level + 1)
    if above is not None and len(above.unit):
        place = np.minimum(np.searchsorted(above.unit, higher), len(above.unit) - 1)
        likely |= (above.unit[place] == higher) & (above.time[place] < chunks.time)
    return likely


def _distinct(types: npt.NDArray[np.uint8]) -> list[int]:
    if len(types) and (types == types[0]).all():
        return [int(types[0])]
    return [int(each) for each in np.unique(types)]
