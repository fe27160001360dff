"""Hold huge pages of the default size until killed, in a guest: ``COUNT MARKER [NODE]``.

``MARKER`` is made once every page was touched. ``NODE`` is where they have to lie.
"""

import ctypes
import mmap
import sys
import time
from pathlib import Path

HUGE_PAGE = 2 << 20
_MAP_HUGETLB = 0x40000
_SET_MEMPOLICY = 238
_MPOL_BIND = 2


def main() -> None:
    count, marker = int(sys.argv[1]), Path(sys.argv[2])
    if len(sys.argv) > 3:
        nodes = ctypes.c_ulong(1 << int(sys.argv[3]))
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.syscall(_SET_MEMPOLICY, _MPOL_BIND, ctypes.byref(nodes), 64):
            raise OSError(ctypes.get_errno(), "set_mempolicy")
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_HUGETLB
    held = mmap.mmap(-1, count * HUGE_PAGE, flags=flags)
    for page in range(count):
        held[page * HUGE_PAGE] = page % 251
    marker.write_text("held")
    while all(held[page * HUGE_PAGE] == page % 251 for page in range(count)):
        time.sleep(1)
    marker.unlink()


if __name__ == "__main__":
    main()
