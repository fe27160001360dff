"""Who holds the pages of blocks: processes, cgroups, and places in the kernel.

Processes are found through ``/proc/PID/pagemap``, mapping by mapping; cgroups
through ``/proc/kpagecgroup``, which names each page's by its inode; places in
the kernel through ``page_owner``, where a kernel was booted with it.
"""

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from memhp.core.geometry import BlockId, pages_of
from memhp.core.owners import Owner, OwnerKind, Owners
from memhp.machines.linux.list_blocks import read_block_size
from memhp.machines.linux.pagemap import frames_of, open_pagemap, read_mappings
from memhp.machines.linux.read_census import WORD_BYTES, opened
from memhp.machines.linux.root import Root

_KPAGECGROUP: Final = "proc/kpagecgroup"
_CGROUPS: Final = "sys/fs/cgroup"
_PAGE_OWNER: Final = "sys/kernel/debug/page_owner"
_MOST_MAPPING_BYTES: Final = 1 << 36
"""Larger mappings are mostly empty, and reading what is in them takes seconds for each."""
_NO_PAGE_OWNER: Final = (
    "which slab cache or part of the kernel holds a page is not known: that takes a kernel "
    "booted with page_owner=on, and debugfs"
)
_ALLOCATED: Final = re.compile(r"^Page allocated via order (\d+),.*\nPFN (0x[0-9a-f]+|\d+) .*")


def read_owners(root: Root, blocks: Sequence[BlockId]) -> Owners:
    """Find who holds pages of blocks; raises ``MachineError`` where nothing can be read."""
    pages_per_block = pages_of(read_block_size(root))
    wanted = np.zeros(max(blocks, default=0) + 1, np.bool_)
    wanted[list(blocks)] = True
    processes, notes = _processes(root, wanted, pages_per_block)
    cgroups, more_notes = _cgroups(root, blocks, pages_per_block)
    places, last_notes = _places(root, wanted, pages_per_block)
    found = sorted((*processes, *cgroups, *places), key=_order)
    return Owners(owners=tuple(found), notes=(*notes, *more_notes, *last_notes))


def _order(owner: Owner) -> tuple[int, int, str]:
    return tuple(OwnerKind).index(owner.kind), -owner.nr_pages, owner.name


def _processes(
    root: Root, wanted: npt.NDArray[np.bool_], pages_per_block: int
) -> tuple[list[Owner], list[str]]:
    owners, unread, skipped = [], 0, 0
    hidden = False
    for pid in sorted(int(name) for name in root.names("proc") if name.isdigit()):
        try:
            number, sees_frames, left_out = _mapped(root, pid, wanted, pages_per_block)
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended
        except OSError:
            unread += 1
            continue
        hidden |= not sees_frames
        skipped += left_out
        if number:
            name = _name_of(root, pid)
            owners.append(Owner(kind=OwnerKind.PROCESS, name=name, nr_pages=number, pid=pid))
    return owners, list(_notes_of_processes(unread, skipped, hidden=hidden))


def _notes_of_processes(unread: int, skipped: int, *, hidden: bool) -> Iterator[str]:
    if unread:
        yield f"{unread} of the processes do not let their pages be read; root may read more"
    if skipped:
        yield f"{skipped} mappings of more than 64 GiB were left out: reading them takes too long"
    if hidden:
        yield "the kernel hides page frame numbers from this user: run it as root"


def _mapped(
    root: Root, pid: int, wanted: npt.NDArray[np.bool_], pages_per_block: int
) -> tuple[int, bool, int]:
    """Pages of the wanted blocks that a process maps, whether frames show, mappings left out."""
    number, sees_frames, left_out = 0, True, 0
    mappings = read_mappings(root, pid)
    if not mappings:
        return 0, True, 0  # a thread of the kernel
    with open_pagemap(root, pid) as descriptor:
        for first, end in mappings:
            if end - first > _MOST_MAPPING_BYTES:
                left_out += 1
                continue
            for frames in frames_of(descriptor, first, end):
                sees_frames &= not len(frames) or bool(frames.any())
                places = frames // pages_per_block
                places = places[places < len(wanted)]
                number += int(np.count_nonzero(wanted[places]))
    return number, sees_frames, left_out


def _name_of(root: Root, pid: int) -> str:
    try:
        with open(root.path(f"proc/{pid}/comm"), "rb") as file:
            return file.read().decode("utf-8", "replace").strip()
    except OSError:
        return "ended meanwhile"


def _cgroups(
    root: Root, blocks: Sequence[BlockId], pages_per_block: int
) -> tuple[list[Owner], list[str]]:
    if not os.path.exists(root.path(_KPAGECGROUP)):
        return [], ["this kernel does not tell which cgroup a page is charged to (kpagecgroup)"]
    by_inode: Counter[int] = Counter()
    with opened(root, _KPAGECGROUP) as descriptor:
        for block in blocks:
            words = np.frombuffer(
                os.pread(
                    descriptor, pages_per_block * WORD_BYTES, block * pages_per_block * WORD_BYTES
                ),
                np.uint64,
            )
            inodes, numbers = np.unique(words, return_counts=True)
            by_inode.update(dict(zip(inodes.tolist(), numbers.tolist(), strict=True)))
    by_inode.pop(0, None)
    paths = _paths_of_inodes(root, set(by_inode))
    return [
        Owner(
            kind=OwnerKind.CGROUP,
            name=paths.get(inode, f"a cgroup that is gone or not shown here (inode {inode})"),
            nr_pages=number,
        )
        for inode, number in by_inode.items()
    ], []


def _paths_of_inodes(root: Root, inodes: set[int]) -> dict[int, str]:
    """The folders that have these inodes; version 1 keeps them a controller down."""
    top = root.path(_CGROUPS)
    if not inodes:
        return {}
    found: dict[int, str] = {}
    for folder, _, _ in os.walk(top):
        inode = os.stat(folder).st_ino if os.path.isdir(folder) else 0
        if inode in inodes:
            found[inode] = folder.removeprefix(top) or "/"
    return found


def _places(
    root: Root, wanted: npt.NDArray[np.bool_], pages_per_block: int
) -> tuple[list[Owner], list[str]]:
    try:
        with open(root.path(_PAGE_OWNER), encoding="utf-8", errors="replace") as file:
            counts = _count_places(_records(file), wanted, pages_per_block)
    except OSError:
        return [], [_NO_PAGE_OWNER]
    return [
        Owner(kind=OwnerKind.ALLOCATION, name=name, nr_pages=number)
        for name, number in counts.items()
    ], []


def _records(lines: Iterable[str]) -> Iterator[list[str]]:
    record: list[str] = []
    for line in lines:
        if line.strip():
            record.append(line.rstrip("\n"))
        elif record:
            yield record
            record = []
    if record:
        yield record


def _count_places(
    records: Iterable[list[str]], wanted: npt.NDArray[np.bool_], pages_per_block: int
) -> Counter[str]:
    """Pages by the first caller that is no part of the allocator itself."""
    counts: Counter[str] = Counter()
    for record in records:
        match = _ALLOCATED.match("\n".join(record[:2]))
        if match is None:
            continue
        block = int(match[2], 0) // pages_per_block
        if block < len(wanted) and wanted[block]:
            counts[_caller(record[2:])] += 1 << int(match[1])
    return counts


_ALLOCATORS: Final = re.compile(
    r"^ *(?:_*alloc_pages|_*alloc_frozen|post_alloc_hook|get_page_from_freelist|prep_new_page|"
    r"alloc_pages_mpol|folio_alloc|vma_alloc_folio|_*folio_alloc|allocate_slab|new_slab|"
    r"___slab_alloc|__slab_alloc|get_free_pages)"
)


def _caller(lines: list[str]) -> str:
    for line in lines:
        if line.startswith(" ") and not _ALLOCATORS.match(line):
            return line.strip().split("+")[0]
    return "an unknown caller"
