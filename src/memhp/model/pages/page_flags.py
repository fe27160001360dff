"""What ``/proc/kpageflags`` and ``/proc/kpagecount`` say of each frame.

Source: ``stable_page_flags()``, ``kpagecount_read()``,
``include/uapi/linux/kernel-page-flags.h``.

Model: what changes with every access (referenced, active, dirty, idle,
under writeback) is not known, and not set.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from memhp.core import kpageflags as kpf
from memhp.core.geometry import GIB, MAX_ORDER_NR_PAGES, PAGES_PER_SECTION, pages_of
from memhp.core.words import BlockState
from memhp.model.kernel import Kernel
from memhp.model.pages.frames import (
    CLASS,
    FREE,
    FREE_TAIL,
    MOVABLE,
    MOVABLE_TAIL,
    OFFLINE_PAGE,
    ORDER,
    POISONED,
    RESERVED,
    SELF_HOSTED,
    UNMOVABLE,
    UNMOVABLE_TAIL,
    UNTOUCHED,
    Bytes,
    Pfns,
)
from memhp.model.pages.holding import SLOTS_PER_UNIT
from memhp.model.pages.pages import Pages
from memhp.model.pages.words import KINDS, PageKind

Words = npt.NDArray[np.uint64]


_ANON: Final = kpf.UPTODATE | kpf.LRU | kpf.ANON | kpf.SWAPBACKED
_OF_KIND: Final = {
    PageKind.ANON: _ANON,
    PageKind.FILE: kpf.UPTODATE | kpf.LRU,
    PageKind.SHMEM: kpf.UPTODATE | kpf.LRU | kpf.SWAPBACKED,
    PageKind.THP: _ANON | kpf.THP,
    PageKind.HUGETLB: kpf.UPTODATE | kpf.HUGE,
    PageKind.GIGANTIC: kpf.UPTODATE | kpf.HUGE,
    PageKind.BALLOON: kpf.OFFLINE,
    PageKind.ZSMALLOC: kpf.PRIVATE,
    PageKind.SLAB: kpf.SLAB,
    PageKind.SLAB_RECLAIMABLE: kpf.SLAB,
    PageKind.PAGE_TABLE: kpf.PGTABLE,
}
_COMPOUND: Final = (
    PageKind.THP,
    PageKind.HUGETLB,
    PageKind.GIGANTIC,
    PageKind.SLAB,
    PageKind.SLAB_RECLAIMABLE,
)
_TAILS_OF_OLD: Final = kpf.ANON | kpf.THP | kpf.HUGE | kpf.SLAB
"""What 6.1 says of a tail too; the other bits it reads from the tail's own flags."""


@dataclass(frozen=True, slots=True)
class _View:
    """Frames from ``start`` on: their codes, the head of each, and which are held how."""

    start: int
    codes: Bytes
    heads: Pfns
    held: npt.NDArray[np.bool_]
    tails: npt.NDArray[np.bool_]


def page_flags(kernel: Kernel, pages: Pages, first: int, count: int) -> Words:
    """The flags of ``count`` frames, a number each."""
    start, end = _widened(pages, first, first + count)
    view = _look(pages, start, end)
    words = _of_code(kernel)[view.codes]
    _add_held(kernel, pages, words, view)
    _add_untouched(kernel, pages, words, view)
    return words[first - start : first - start + count]


def page_counts(pages: Pages, first: int, count: int) -> Words:
    """How often each of ``count`` frames is mapped."""
    start, end = _widened(pages, first, first + count)
    view = _look(pages, start, end)
    used = (view.codes & CLASS == MOVABLE) | (view.codes == MOVABLE_TAIL)
    words = np.zeros(end - start, np.uint64)
    words[used] = pages.holders.mapcount_of[_numbers(pages, view, used)]
    return words[first - start : first - start + count]


def _look(pages: Pages, start: int, end: int) -> _View:
    codes = pages.frames.state[start:end]
    held = (codes & CLASS == MOVABLE) | (codes & CLASS == UNMOVABLE)
    tails = (codes == MOVABLE_TAIL) | (codes == UNMOVABLE_TAIL)
    heads = np.maximum.accumulate(np.where(tails, 0, np.arange(len(codes))))
    return _View(start, codes, heads, held, tails)


def _widened(pages: Pages, first: int, end: int) -> tuple[int, int]:
    """A range in which every chunk has its head."""
    low = first // MAX_ORDER_NR_PAGES * MAX_ORDER_NR_PAGES
    high = -(-end // MAX_ORDER_NR_PAGES) * MAX_ORDER_NR_PAGES
    return low, min(high, pages.frames.nr_frames)


def _numbers(pages: Pages, view: _View, used: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint32]:
    """The numbers of the holdings of those frames."""
    slots = pages.frames.link[view.start + view.heads[used]]
    numbers: npt.NDArray[np.uint32] = pages.holders.holder_of_unit[slots // SLOTS_PER_UNIT]
    return numbers


def _of_code(kernel: Kernel) -> Words:
    """What a frame's code alone says."""
    table = np.zeros(256, np.uint64)
    table[FREE:] = kpf.BUDDY
    table[FREE_TAIL] = kpf.BUDDY
    table[RESERVED] = kpf.RESERVED
    table[OFFLINE_PAGE] = kpf.OFFLINE
    table[POISONED] = kpf.HWPOISON
    table[SELF_HOSTED] = kpf.OWNER_PRIVATE
    if kernel.profile.memmap_reserved_on_itself:
        table[SELF_HOSTED] |= np.uint64(kpf.RESERVED)
    return table


def _add_held(kernel: Kernel, pages: Pages, words: Words, view: _View) -> None:
    """What the kind of a frame's holder says, and that it is the head or a tail of a chunk."""
    used = view.held | view.tails
    holders = pages.holders
    numbers = _numbers(pages, view, used)
    kinds = holders.kind_of[numbers]
    found = np.array([_flags_of(kernel, kind) for kind in KINDS], np.uint64)[kinds]
    mapped = (holders.mapcount_of[numbers] > 0) & np.isin(kinds, _numbers_of(_MAPPED))
    found |= np.where(mapped, np.uint64(kpf.MMAP), np.uint64(0))
    locked = np.uint64(kpf.UNEVICTABLE | kpf.MLOCKED)
    found |= np.where(holders.mlocked_of[numbers] != 0, locked, np.uint64(0))
    compound = np.isin(kinds, _numbers_of(_COMPOUND))
    large = (view.codes[view.heads] & ORDER > 0)[used] & compound
    inside = np.arange(view.start, view.start + len(used))[used] % pages_of(GIB) != 0
    gigantic = kinds == KINDS.index(PageKind.GIGANTIC)
    of_tail = large & np.where(gigantic, inside, view.tails[used])
    if kernel.profile.tails_have_own_flags:
        found[of_tail] &= np.uint64(_TAILS_OF_OLD | kpf.MMAP)
    found |= np.where(of_tail, np.uint64(kpf.TAIL), np.uint64(0))
    found |= np.where(large & ~of_tail, np.uint64(kpf.HEAD), np.uint64(0))
    words[used] |= found


_MAPPED: Final = (
    PageKind.ANON,
    PageKind.FILE,
    PageKind.SHMEM,
    PageKind.THP,
    PageKind.HUGETLB,
    PageKind.GIGANTIC,
)


def _numbers_of(kinds: tuple[PageKind, ...]) -> list[int]:
    return [KINDS.index(kind) for kind in kinds]


def _flags_of(kernel: Kernel, kind: PageKind) -> int:
    flags = _OF_KIND.get(kind, 0)
    if flags & kpf.ANON and kernel.profile.anon_looks_like_ksm:
        flags |= kpf.KSM
    return flags


def _add_untouched(kernel: Kernel, pages: Pages, words: Words, view: _View) -> None:
    """Frames that no one has written anything of: free, a hole, or not there."""
    start, end = view.start, view.start + len(view.codes)
    for section in range(start // PAGES_PER_SECTION, -(-end // PAGES_PER_SECTION)):
        low = max(start, section * PAGES_PER_SECTION)
        high = min(end, (section + 1) * PAGES_PER_SECTION)
        block = kernel.blocks.get(low // kernel.pages_per_block)
        flag = kpf.NOPAGE
        if pages.frames.pristine[section]:
            flag = kpf.BUDDY
        elif block is not None and block.state is not BlockState.OFFLINE:
            # init_unavailable_range(): a hole in a section that is online.
            flag = kpf.RESERVED
        part = slice(low - start, high - start)
        words[part][view.codes[part] == UNTOUCHED] = flag
