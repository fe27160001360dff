"""How much is left in a block that is on its way out: what counts as progress.

Pages left in the block, and not pages migrated anywhere: huge pages that the
kernel moves round and round inside one block are no progress. A page has gone
when it is free (``KPF_BUDDY``): isolated free pages stay on the free lists.
"""

import sys

from memhp.core.errors import MachineError
from memhp.core.geometry import pages_of
from memhp.core.kpageflags import BUDDY
from memhp.machines.linux.read_census import KPAGEFLAGS, WORD_BYTES, opened, read_words
from memhp.machines.linux.root import Root
from memhp.machines.linux.vmstat import read_vmstat

_BUDDY_PLACE, _BUDDY_BYTE = next(
    (place, byte) for place, byte in enumerate(BUDDY.to_bytes(WORD_BYTES, sys.byteorder)) if byte
)
"""Which byte of a word tells of it, and what is set there."""
_IS_FREE = bytes(bool(value & _BUDDY_BYTE) for value in range(256))


def read_pages_left(root: Root, block: int, block_size_bytes: int) -> int | None:
    """Count a block's pages that are not free; ``None`` where the kernel does not tell."""
    count = pages_of(block_size_bytes)
    words = bytearray(count * WORD_BYTES)
    try:
        with opened(root, KPAGEFLAGS) as descriptor:
            got = read_words(descriptor, block * count, count, words)
    except (MachineError, OSError):
        return None
    if got != len(words):
        return None
    return count - words[_BUDDY_PLACE::WORD_BYTES].translate(_IS_FREE).count(1)


def read_pages_migrated(root: Root) -> int | None:
    """All pages that the kernel has moved since boot: the next best sign of progress."""
    return read_vmstat(root).get("pgmigrate_success")
