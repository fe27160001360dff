"""What a word of ``/proc/kpageflags`` says of a page, to someone who wants its block.

Source: ``stable_page_flags()``, ``include/uapi/linux/kernel-page-flags.h``.
Only bits that mean the same in 6.1 and 6.12 are looked at: KSM, which 6.12.117
sets on every anonymous page, is not. What both show alike for a free page and
one of the kernel stays unknown.
"""

from typing import Final

from memhp.core.census import PageKind

DIRTY: Final = 1 << 4
LRU: Final = 1 << 5
SLAB: Final = 1 << 7
WRITEBACK: Final = 1 << 8
BUDDY: Final = 1 << 10
MMAP: Final = 1 << 11
ANON: Final = 1 << 12
SWAPBACKED: Final = 1 << 14
HEAD: Final = 1 << 15
TAIL: Final = 1 << 16
HUGE: Final = 1 << 17
UNEVICTABLE: Final = 1 << 18
HWPOISON: Final = 1 << 19
NOPAGE: Final = 1 << 20
THP: Final = 1 << 22
OFFLINE: Final = 1 << 23
ZERO_PAGE: Final = 1 << 24
PGTABLE: Final = 1 << 26
RESERVED: Final = 1 << 32
MLOCKED: Final = 1 << 33
OWNER_PRIVATE: Final = 1 << 37

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
