"""Processes and memory: where a process's pages lie, and who holds pages that stay."""

import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from memhp.core.errors import NoSuchObject, NotSupported
from memhp.core.evidence import Held, Sighting
from memhp.core.geometry import KIB, PAGE_SIZE_BYTES, pages_of
from memhp.core.ranges import PhysRange, runs_of
from memhp.machines.linux.pagemap import frames_of, open_pagemap, read_mappings
from memhp.machines.linux.root import Root

_FACTS: Final = {"VmPin": Held.PINNED, "HugetlbPages": Held.HUGE}
_ROW: Final = re.compile(r"^(VmPin|HugetlbPages|Name):\s+(.*)$", re.MULTILINE)


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
        mappings = read_mappings(root, pid)
        with open_pagemap(root, pid) as descriptor:
            pfns = sorted({pfn for area in mappings for pfn in _frames(descriptor, *area)})
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
    return tuple(
        PhysRange(start=first * PAGE_SIZE_BYTES, end=(last + 1) * PAGE_SIZE_BYTES)
        for first, last in runs_of(pfns)
    )


def _frames(descriptor: int, first: int, end: int) -> Iterator[int]:
    with suppress(OSError):  # the mapping may have gone meanwhile
        for frames in frames_of(descriptor, first, end):
            yield from frames[frames != 0].tolist()
