"""Processes and memory: where a process's pages lie, and who holds pages that stay."""

import os
import re
from collections.abc import Iterator
from typing import Final

import numpy as np

from memhp.core.errors import NoSuchObject, NotSupported
from memhp.core.evidence import Held, Sighting
from memhp.core.geometry import KIB, PAGE_SIZE_BYTES, pages_of
from memhp.core.ranges import PhysRange, runs_of
from memhp.machines.linux.root import Root

_MAPPED: Final = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) ", re.MULTILINE)
_FACTS: Final = {"VmPin": Held.PINNED, "HugetlbPages": Held.HUGE}
_ROW: Final = re.compile(r"^(VmPin|HugetlbPages|Name):\s+(.*)$", re.MULTILINE)
_PFN_MASK: Final = (1 << 55) - 1
_PRESENT: Final = 63
_WORDS_AT_ONCE: Final = 1 << 16


def read_holders(root: Root) -> tuple[Sighting, ...]:
    """Processes with pinned or huge pages, by their own account; of those that may be read."""
    found: list[Sighting] = []
    for name in sorted(root.names("proc"), key=lambda name: (len(name), name)):
        if name.isdecimal():
            found.extend(_held_by(root, name))
    return tuple(found)


def _held_by(root: Root, pid: str) -> Iterator[Sighting]:
    try:
        with open(root.path(f"proc/{pid}/status"), encoding="utf-8", errors="replace") as file:
            rows = dict(_ROW.findall(file.read()))
    except OSError:
        return
    for word, kind in _FACTS.items():
        amount = rows.get(word, "0 kB").split()[0]
        count = pages_of(int(amount) * KIB) if amount.isdecimal() else 0
        if count:
            owner = f"process {pid} ({rows.get('Name', '?')})"
            yield Sighting(kind=kind, first_pfn=0, count=count, owner=owner)


def ranges_of_task(root: Root, pid: int) -> tuple[PhysRange, ...]:
    """Where a process's pages lie now; raises ``NoSuchObject`` and ``NotSupported``.

    Source: ``/proc/PID/pagemap``, which shows page frames to root alone.
    """
    try:
        with open(root.path(f"proc/{pid}/maps"), encoding="utf-8", errors="replace") as file:
            areas = [(int(low, 16), int(high, 16)) for low, high in _MAPPED.findall(file.read())]
        handle = os.open(root.path(f"proc/{pid}/pagemap"), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError as err:
        raise NoSuchObject(
            machine=root.name, name=f"process {pid}", advice="see 'ps' for those that it has"
        ) from err
    except OSError as err:
        raise NotSupported(
            machine=root.name,
            operation=f"show where the memory of process {pid} lies ({err.strerror})",
            advice="run memhp as root on the machine itself",
        ) from err
    try:
        pfns = sorted({pfn for area in areas for pfn in _frames(handle, *area)})
    finally:
        os.close(handle)
    return tuple(
        PhysRange(start=first * PAGE_SIZE_BYTES, end=(last + 1) * PAGE_SIZE_BYTES)
        for first, last in runs_of(pfns)
    )


def _frames(handle: int, low: int, high: int) -> Iterator[int]:
    first, last = low // PAGE_SIZE_BYTES, min(high, 1 << 57) // PAGE_SIZE_BYTES
    for start in range(first, last, _WORDS_AT_ONCE):
        count = min(_WORDS_AT_ONCE, last - start)
        try:
            data = os.pread(handle, count * 8, start * 8)
        except OSError:
            return
        words = np.frombuffer(data, np.uint64)
        there = words[(words >> np.uint64(_PRESENT)) & np.uint64(1) != 0]
        frames = there & np.uint64(_PFN_MASK)
        yield from frames[frames != 0].tolist()
