"""What Linux counts somewhere else about pages that ``/proc/kpageflags`` cannot tell apart.

All of it is of the whole machine: it says that there are such pages, not where.
"""

import os
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Final

from memhp.core.census import BlockCensus, PageKind, total
from memhp.core.geometry import KIB, PAGE_SIZE_BYTES
from memhp.machines.linux.root import Root
from memhp.machines.linux.unknown_pages import notes_of_unknown, unknown_by_zone
from memhp.machines.linux.vmstat import read_vmstat
from memhp.machines.linux.zone_lists import read_zone_lists

_MOST_NAMED: Final = 5
_MOST_RESERVED_SHARE: Final = 8
_VFIO: Final = "/dev/vfio/"
_KIB_PER_PAGE: Final = PAGE_SIZE_BYTES // KIB


def read_notes(root: Root, counted: Collection[BlockCensus]) -> tuple[str, ...]:
    """Sentences about what the figures leave open; none about what is not there."""
    pages = total(counted)
    counters = read_vmstat(root)
    notes: list[str] = []
    if PageKind.UNKNOWN in pages:
        notes.append(
            "unknown pages are free ones on per-CPU lists or plain pages of the kernel: "
            "both show the same"
        )
        notes.extend(notes_of_unknown(unknown_by_zone(root, counted), read_zone_lists(root)))
        notes.extend(_of_late_start(root, pages.get(PageKind.RESERVED, 0)))
    notes.extend(_of_zsmalloc(root))
    if PageKind.DRIVER in pages:
        notes.append(_of_balloon(counters))
    notes.extend(_of_pins(counters))
    notes.extend(_of_processes(root))
    return tuple(notes)


def _of_pins(counters: Mapping[str, int]) -> Iterator[str]:
    """The counters are of pages and calls since boot, and count each pin again."""
    taken = counters.get("nr_foll_pin_acquired")
    given_back = counters.get("nr_foll_pin_released")
    if taken is None or given_back is None:
        yield "pins are invisible: some of the movable pages may be held in place"
    elif taken > given_back:
        yield (
            f"{taken - given_back} pins are held on this machine (nr_foll_pin_*); which pages "
            "they hold in place is invisible"
        )


def _of_zsmalloc(root: Root) -> Iterator[str]:
    """Its pages move by operations of their own and show no sign of it."""
    text = root.text_if_there("proc/zoneinfo") or ""
    number = sum(int(found) for found in re.findall(r"^ +nr_zspages +(\d+)$", text, re.MULTILINE))
    if number:
        yield (
            f"{number} pages of compressed memory (zsmalloc) lie somewhere on this machine: they "
            "look like the kernel's or are unknown, and can move"
        )


def _of_late_start(root: Root, reserved: int) -> Iterator[str]:
    """Memory that the kernel has not yet given to its allocator."""
    text = root.text_if_there("proc/zoneinfo") or ""
    present = sum(map(int, re.findall(r"^ +present +(\d+)$", text, re.MULTILINE)))
    managed = sum(map(int, re.findall(r"^ +managed +(\d+)$", text, re.MULTILINE)))
    late = present - managed
    # What was reserved at boot and never counted as free is a small part of a machine.
    if late > max(2 * reserved, present // _MOST_RESERVED_SHARE):
        yield (
            f"{late} pages are present and not managed (zoneinfo): the kernel has not started "
            "to use them, or keeps them back, and they show no flags either"
        )


def _of_balloon(counters: Mapping[str, int]) -> str:
    inflated = counters.get("balloon_inflate", 0) - counters.get("balloon_deflate", 0)
    if inflated > 0:
        return (
            f"a balloon holds about {inflated} pages on this machine, which can move; driver "
            "pages beyond them are those of virtio-mem or another driver"
        )
    return "driver pages are those of a balloon, which can move, or of virtio-mem: they look alike"


def _of_processes(root: Root) -> Iterator[str]:
    """Processes that pinned memory for a device, or drive one from user space (VFIO)."""
    pids = sorted(int(name) for name in root.names("proc") if name.isdigit())
    pinned = {pid: pages for pid in pids if (pages := _pinned_by(root, pid))}
    if pinned:
        most = sorted(pinned, key=lambda pid: -pinned[pid])
        yield (
            f"{sum(pinned.values())} pages are pinned by {_named(most)} (VmPin): they do not move"
        )
    drivers = [pid for pid in pids if _drives_a_device(root, pid)]
    if drivers:
        yield f"{_named(drivers)} drive devices through VFIO, which holds their memory in place"


def _named(pids: list[int]) -> str:
    shown = ", ".join(map(str, pids[:_MOST_NAMED]))
    more = f" and {len(pids) - _MOST_NAMED} more" if len(pids) > _MOST_NAMED else ""
    return f"{'process' if len(pids) == 1 else 'processes'} {shown}{more}"


def _pinned_by(root: Root, pid: int) -> int:
    try:
        with open(root.path(f"proc/{pid}/status"), "rb") as file:
            found = re.search(rb"^VmPin:\s+(\d+) kB", file.read(), re.MULTILINE)
    except OSError:
        return 0  # it has ended
    return int(found[1]) // _KIB_PER_PAGE if found else 0


def _drives_a_device(root: Root, pid: int) -> bool:
    folder = root.path(f"proc/{pid}/fd")
    try:
        names = os.listdir(folder)
    except OSError:
        return False
    return any(root.link(f"proc/{pid}/fd/{name}").startswith(_VFIO) for name in names)
