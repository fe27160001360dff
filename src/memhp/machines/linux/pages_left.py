"""How much is left in a block that is on its way out: what counts as progress.

Pages left in the block, and not pages migrated anywhere: huge pages that the
kernel moves round and round inside one block are no progress. A page has gone
when it is free (``KPF_BUDDY``): isolated free pages stay on the free lists.
"""

import os
import sys

from memhp.machines.linux.root import Root

_FLAGS = "proc/kpageflags"
_WORD = 8
_PAGE_SHIFT = 12
_BUDDY_BYTE, _BUDDY_BIT = (1 if sys.byteorder == "little" else 6), 1 << 2
"""``KPF_BUDDY`` is bit 10 of the 64 (``include/uapi/linux/kernel-page-flags.h``)."""
_IS_FREE = bytes(bool(value & _BUDDY_BIT) for value in range(256))


def read_pages_left(root: Root, block: int, block_size_bytes: int) -> int | None:
    """Count a block's pages that are not free; ``None`` where the kernel does not tell."""
    count = block_size_bytes >> _PAGE_SHIFT
    try:
        handle = os.open(root.path(_FLAGS), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        words = os.pread(handle, count * _WORD, block * count * _WORD)
    except OSError:
        return None
    finally:
        os.close(handle)
    if len(words) != count * _WORD:
        return None
    return count - words[_BUDDY_BYTE::_WORD].translate(_IS_FREE).count(1)


def read_pages_migrated(root: Root) -> int | None:
    """All pages that the kernel has moved since boot: the next best sign of progress."""
    for line in (root.text_if_there("proc/vmstat") or "").splitlines():
        name, _, value = line.partition(" ")
        if name == "pgmigrate_success" and value.isdecimal():
            return int(value)
    return None
