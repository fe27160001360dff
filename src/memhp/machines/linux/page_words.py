"""What a word of ``/proc/kpageflags`` says of a page, to someone who wants its block.

Source: ``stable_page_flags()``.
Only bits that mean the same in 6.1 and 6.12 are looked at: KSM, which 6.12.117
sets on every anonymous page, is not. What both show alike for a free page and
one of the kernel stays unknown.
"""

from typing import Final

from memhp.core.census import PageKind
from memhp.core.kpageflags import (
    ANON,
    BUDDY,
    DIRTY,
    HEAD,
    HUGE,
    HWPOISON,
    LRU,
    MLOCKED,
    MMAP,
    NOPAGE,
    OFFLINE,
    OWNER_PRIVATE,
    PGTABLE,
    RESERVED,
    SLAB,
    SWAPBACKED,
    TAIL,
    THP,
    UNEVICTABLE,
    WRITEBACK,
    ZERO_PAGE,
)

_AT_ONCE: Final = (
    (NOPAGE, PageKind.HOLE),
    (HWPOISON, PageKind.POISONED),
    (BUDDY, PageKind.FREE),
    (OFFLINE, PageKind.DRIVER),
    (SLAB, PageKind.SLAB),
    (PGTABLE, PageKind.TABLE),
    (RESERVED, PageKind.RESERVED),
    (ZERO_PAGE, PageKind.KERNEL),
)
"""Each of these bits alone decides, the first that is set."""


def kind_of_word(word: int) -> PageKind:
    """Tell the kind of a page by its own word.

    Where ``asks_head`` holds, its head's word knows better. ``OWN_MAP`` holds at
    the start of a block alone.
    """
    if word & ~RESERVED == OWNER_PRIVATE:
        return PageKind.OWN_MAP
    for bit, kind in _AT_ONCE:
        if word & bit:
            return kind
    if word & HUGE:
        # An unmapped page of a file in hugetlbfs is dirty from the start
        # (hugetlb_add_to_page_cache()), a free one is none of these.
        in_use = word & (MMAP | ANON | DIRTY)
        return PageKind.HUGETLB if in_use else PageKind.HUGETLB_FREE
    if word & (LRU | ANON | SWAPBACKED | THP):
        # Without LRU it waits in a batch to get on a list, and offlining drains those.
        return _of_user(word)
    # A large page of the kernel; a free one on a per-CPU list is no longer compound.
    return PageKind.KERNEL if word & (HEAD | TAIL) else PageKind.UNKNOWN


def asks_head(word: int) -> bool:
    """Whether it is a tail of a user's large page that does not show what its head does.

    Up to 6.1 a tail shows its own flags, and the interesting ones are its head's;
    6.12 shows the head's, among them LRU.
    """
    return bool(word & TAIL and word & (THP | HUGE) and not word & (LRU | HWPOISON))


def _of_user(word: int) -> PageKind:
    swapbacked = word & (ANON | SWAPBACKED)
    if word & WRITEBACK:
        return PageKind.WRITEBACK
    if word & (MLOCKED | UNEVICTABLE):
        return PageKind.MLOCKED
    if word & DIRTY and not swapbacked:
        # What has no file is always dirty, and is not written before it moves.
        return PageKind.DIRTY
    if word & THP:
        return PageKind.HUGE
    if word & ANON:
        return PageKind.ANON
    return PageKind.SHMEM if swapbacked else PageKind.CACHE
