"""Lends pages of its own to a pipe that nobody reads: they look movable, and never move.

Source: the count of references that ``folio_migrate_mapping()`` expects.

Usage: lend_pages.py FILE. The file is made once the pages are lent; they are until
this ends.
"""

import ctypes
import mmap
import os
import signal
import sys
from pathlib import Path

_SIZE_BYTES = 65536


class _Piece(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


def main(told: Path) -> None:
    room = mmap.mmap(-1, _SIZE_BYTES)
    room[:] = bytes(range(256)) * (_SIZE_BYTES // 256)
    piece = _Piece(ctypes.addressof(ctypes.c_char.from_buffer(room)), _SIZE_BYTES)
    _, writer = os.pipe()
    if ctypes.CDLL(None).vmsplice(writer, ctypes.byref(piece), 1, 0) <= 0:
        raise SystemExit("nothing was lent")
    told.touch()
    signal.pause()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
