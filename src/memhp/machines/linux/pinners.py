"""Processes that hold some of their pages in place, where the pages themselves do not show it.

Source: ``mm->pinned_vm`` (``VmPin``), which io_uring, RDMA and others count;
VFIO counts with locked memory, so whoever drives a device through it counts too.
"""

import os
import re
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from memhp.core.evidence import Pinner
from memhp.core.geometry import KIB, BlockId, pages_of
from memhp.machines.linux.pagemap import frames_of, open_pagemap, read_mappings
from memhp.machines.linux.root import Root

_PINNED: Final = re.compile(r"^VmPin:\s+(\d+) kB", re.MULTILINE)
_NAME: Final = re.compile(r"^Name:\s+(.*)$", re.MULTILINE)
_VFIO: Final = "/dev/vfio/"


@dataclass(frozen=True, slots=True, kw_only=True)
class PinningTask:
    """A process, how many pages it says to have pinned, and whether it drives a device."""

    pid: int
    name: str
    pinned_pages: int
    drives_device: bool

    @property
    def words(self) -> str:
        """What a person knows it by."""
        return f"process {self.pid} ({self.name})"


def read_pinning_tasks(root: Root) -> tuple[PinningTask, ...]:
    """Find them, of those that may be read."""
    pids = sorted(int(name) for name in root.names("proc") if name.isdecimal())
    tasks = (_task(root, pid) for pid in pids)
    return tuple(task for task in tasks if task.pinned_pages or task.drives_device)


def read_pinners(root: Root, kernel_blocks: Collection[BlockId], nr_pages: int) -> list[Pinner]:
    """Find where the pages of such processes lie, in blocks of kernel zones.

    Whoever pins for long has the pages moved out of ``ZONE_MOVABLE`` first
    (``FOLL_LONGTERM``, ``check_and_migrate_movable_pages()``).
    """
    found = []
    for task in read_pinning_tasks(root):
        by_block = _pages_by_block(root, task.pid, nr_pages)
        mine = {block: by_block[block] for block in kernel_blocks if block in by_block}
        pinned = None if task.drives_device else task.pinned_pages
        found.append(Pinner(owner=task.words, pinned_pages=pinned, pages=mine))
    return found


def _pages_by_block(root: Root, pid: int, nr_pages: int) -> Counter[BlockId]:
    """How many of a process's pages lie in each block; none where it has ended, or is hidden."""
    found: Counter[BlockId] = Counter()
    try:
        with open_pagemap(root, pid) as descriptor:
            for first, end in read_mappings(root, pid):
                for frames in frames_of(descriptor, first, end):
                    blocks, counts = np.unique(frames[frames != 0] // nr_pages, return_counts=True)
                    for block, count in zip(blocks.tolist(), counts.tolist(), strict=True):
                        found[BlockId(block)] += count
    except OSError:
        return found
    return found


def _task(root: Root, pid: int) -> PinningTask:
    status = _status(root, pid)
    pinned, name = _PINNED.search(status), _NAME.search(status)
    return PinningTask(
        pid=pid,
        name="?" if name is None else name[1],
        pinned_pages=0 if pinned is None else pages_of(int(pinned[1]) * KIB),
        drives_device=any(target.startswith(_VFIO) for target in _open_files(root, pid)),
    )


def _status(root: Root, pid: int) -> str:
    try:
        with open(root.path(f"proc/{pid}/status"), encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""  # it has ended


def _open_files(root: Root, pid: int) -> Iterator[str]:
    try:
        names = os.listdir(root.path(f"proc/{pid}/fd"))
    except OSError:
        return
    yield from (root.link(f"proc/{pid}/fd/{name}") for name in names)
