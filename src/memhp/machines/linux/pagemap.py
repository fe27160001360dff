"""Where a process's pages lie: ``/proc/PID/maps`` and ``/proc/PID/pagemap``.

Page frames are shown to root alone; anybody else reads zeros.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import numpy as np
import numpy.typing as npt

from memhp.core.geometry import PAGE_SHIFT
from memhp.machines.linux.read_census import WORD_BYTES
from memhp.machines.linux.root import Root

Frames = npt.NDArray[np.int64]
_MAPPING: Final = re.compile(rb"^([0-9a-f]+)-([0-9a-f]+) ", re.MULTILINE)
_PRESENT: Final = np.uint64(1 << 63)
_PFN: Final = np.uint64((1 << 55) - 1)
_MOST_PAGES: Final = 1 << 16
_USER_END: Final = 1 << 63
"""``[vsyscall]`` lies above, and pagemap does not reach there."""


def read_mappings(root: Root, pid: int) -> list[tuple[int, int]]:
    """First address and end of each mapping; none of a thread of the kernel. Raises ``OSError``."""
    with open(root.path(f"proc/{pid}/maps"), "rb") as file:
        found = [(int(first, 16), int(end, 16)) for first, end in _MAPPING.findall(file.read())]
    return [(first, end) for first, end in found if first < _USER_END]


@contextmanager
def open_pagemap(root: Root, pid: int) -> Iterator[int]:
    """Open a process's map of its pages; raises ``OSError``."""
    descriptor = os.open(root.path(f"proc/{pid}/pagemap"), os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def frames_of(descriptor: int, first: int, end: int) -> Iterator[Frames]:
    """The frames of the pages that a mapping has, some at a time; 0 where they are hidden.

    Raises ``OSError``.
    """
    for page in range(first >> PAGE_SHIFT, end >> PAGE_SHIFT, _MOST_PAGES):
        count = min(_MOST_PAGES, (end >> PAGE_SHIFT) - page)
        data = os.pread(descriptor, count * WORD_BYTES, page * WORD_BYTES)
        words = np.frombuffer(data, np.uint64, len(data) // WORD_BYTES)
        yield (words[words & _PRESENT != 0] & _PFN).astype(np.int64)
