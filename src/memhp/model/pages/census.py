"""Counting a range's pages by what they are to someone who wants their block.

The model knows more than a kernel shows: which pages are pinned, which are
free on a per-CPU list, and which move without being on an LRU list.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from memhp.core.census import PageKind
from memhp.core.geometry import MAX_ORDER_NR_PAGES, PAGES_PER_SECTION
from memhp.model.pages.frames import (
    CACHED,
    CACHED_TAIL,
    CLASS,
    FREE,
    FREE_TAIL,
    MOVABLE,
    MOVABLE_TAIL,
    OFFLINE_PAGE,
    POISONED,
    RESERVED,
    SELF_HOSTED,
    UNMOVABLE,
    UNMOVABLE_TAIL,
    UNTOUCHED,
    Bytes,
)
from memhp.model.pages.holders import Holders
from memhp.model.pages.holding import SLOTS_PER_UNIT
from memhp.model.pages.pages import Pages
from memhp.model.pages.words import KINDS
from memhp.model.pages.words import PageKind as Held

_KINDS: Final = tuple(PageKind)
_CODE: Final = {kind: number for number, kind in enumerate(_KINDS)}
_OF_HELD: Final = {
    Held.ANON: PageKind.ANON,
    Held.FILE: PageKind.CACHE,
    Held.SHMEM: PageKind.SHMEM,
    Held.THP: PageKind.HUGE,
    Held.HUGETLB: PageKind.HUGETLB,
    Held.GIGANTIC: PageKind.HUGETLB,
    Held.BALLOON: PageKind.DRIVER,
    Held.ZSMALLOC: PageKind.MOVABLE,
    Held.SLAB: PageKind.SLAB,
    Held.SLAB_RECLAIMABLE: PageKind.SLAB,
    Held.PAGE_TABLE: PageKind.TABLE,
}
_OF_HELD_NUMBER: Final = np.array(
    [_CODE[_OF_HELD.get(kind, PageKind.KERNEL)] for kind in KINDS], np.uint8
)


def census(pages: Pages, start: int, end: int) -> dict[PageKind, int]:
    """Count pages by kind; kinds that are not there are left out."""
    state = pages.frames.state[start:end]
    per_code = np.bincount(state, minlength=256)
    counts = dict.fromkeys(PageKind, 0)
    for code in np.flatnonzero(per_code).tolist():
        kind = _kind_of(code)
        if kind is not None:
            counts[kind] += int(per_code[code])
    for number, found in enumerate(_held(pages, start, end).tolist()):
        counts[_KINDS[number]] += found
    sections = slice(start // PAGES_PER_SECTION, -(-end // PAGES_PER_SECTION))
    untouched = int(np.count_nonzero(pages.frames.pristine[sections])) * PAGES_PER_SECTION
    counts[PageKind.FREE] += untouched
    counts[PageKind.HOLE] -= untouched
    return {kind: number for kind, number in counts.items() if number}


def _kind_of(code: int) -> PageKind | None:
    """What a code alone says; ``None`` where the holder has to be asked."""
    if code & FREE or code in {FREE_TAIL, CACHED_TAIL} or code & CLASS == CACHED:
        return PageKind.FREE
    if code & CLASS in {MOVABLE, UNMOVABLE} or code in {MOVABLE_TAIL, UNMOVABLE_TAIL}:
        return None
    return {
        RESERVED: PageKind.RESERVED,
        SELF_HOSTED: PageKind.OWN_MAP,
        OFFLINE_PAGE: PageKind.DRIVER,
        POISONED: PageKind.POISONED,
        UNTOUCHED: PageKind.HOLE,
    }.get(code, PageKind.UNKNOWN)


def _held(pages: Pages, start: int, end: int) -> npt.NDArray[np.int64]:
    """Pages that somebody holds, by the place of their kind in ``PageKind``."""
    # A chunk of the largest order is no smaller than what a block may cut off.
    low = start // MAX_ORDER_NR_PAGES * MAX_ORDER_NR_PAGES
    state = pages.frames.state[low:end]
    used = _is_held(state)
    used[: start - low] = False
    tails = (state == MOVABLE_TAIL) | (state == UNMOVABLE_TAIL)
    heads = np.maximum.accumulate(np.where(tails, 0, np.arange(len(state))))
    slots = pages.frames.link[low + heads[used]]
    numbers = pages.holders.holder_of_unit[slots // SLOTS_PER_UNIT]
    return np.bincount(_kinds_of_holders(pages.holders, numbers), minlength=len(_KINDS))


def _is_held(state: Bytes) -> npt.NDArray[np.bool_]:
    heads = (state & CLASS == MOVABLE) | (state & CLASS == UNMOVABLE)
    found: npt.NDArray[np.bool_] = heads | (state == MOVABLE_TAIL) | (state == UNMOVABLE_TAIL)
    return found


def _kinds_of_holders(holders: Holders, numbers: npt.NDArray[np.uint32]) -> Bytes:
    """The kind of each holding as the place in ``PageKind``."""
    kinds = _OF_HELD_NUMBER[holders.kind_of[numbers]]
    hugetlb = kinds == _CODE[PageKind.HUGETLB]
    idle = hugetlb & (holders.idle_of[numbers] != 0)
    kinds[idle] = _CODE[PageKind.HUGETLB_FREE]
    kinds[(holders.mlocked_of[numbers] != 0) & ~hugetlb] = _CODE[PageKind.MLOCKED]
    kinds[holders.pinned_of[numbers] != 0] = _CODE[PageKind.PINNED]
    return kinds
