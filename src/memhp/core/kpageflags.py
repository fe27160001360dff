"""The bits of a word of ``/proc/kpageflags``, each as a word in which it alone is set.

Those that mean the same in 6.1 and 6.12, and ``KSM``, which 6.12.117 sets on every
anonymous page. Source: ``include/uapi/linux/kernel-page-flags.h``, and for bits from 32
on ``include/linux/kernel-page-flags.h``.
"""

from typing import Final

UPTODATE: Final = 1 << 3
DIRTY: Final = 1 << 4
LRU: Final = 1 << 5
SLAB: Final = 1 << 7
WRITEBACK: Final = 1 << 8
BUDDY: Final = 1 << 10
MMAP: Final = 1 << 11
ANON: Final = 1 << 12
SWAPCACHE: Final = 1 << 13
SWAPBACKED: Final = 1 << 14
HEAD: Final = 1 << 15
TAIL: Final = 1 << 16
HUGE: Final = 1 << 17
UNEVICTABLE: Final = 1 << 18
HWPOISON: Final = 1 << 19
NOPAGE: Final = 1 << 20
KSM: Final = 1 << 21
THP: Final = 1 << 22
OFFLINE: Final = 1 << 23
ZERO_PAGE: Final = 1 << 24
PGTABLE: Final = 1 << 26
RESERVED: Final = 1 << 32
MLOCKED: Final = 1 << 33
PRIVATE: Final = 1 << 35
OWNER_PRIVATE: Final = 1 << 37
