"""Which files of the host a model's tree stands in for, and which are covered besides.

The tree of the model decides: what it has of its own is served whole; folders
that it shares with the rest of the host (``/sys``, ``/proc``) are walked through.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass

SHARED = frozenset(
    {
        "/",
        "/proc",
        "/proc/sys",
        "/proc/sys/kernel",
        "/proc/sys/kernel/random",
        "/proc/sys/vm",
        "/sys",
        "/sys/bus",
        "/sys/devices",
        "/sys/devices/system",
        "/sys/firmware",
        "/sys/kernel",
        "/sys/module",
    }
)
"""Folders in which both the model's and the host's own entries stand."""
DEBUGFS = "/sys/kernel/debug"
NEVER_THE_HOSTS = (
    "/proc/iomem",
    "/proc/meminfo",
    "/proc/zoneinfo",
    "/sys/devices/system/memory",
    "/sys/devices/system/node",
    DEBUGFS,
)
"""What every model has; nothing is started on one that has not."""
COVERED = (
    "/proc/buddyinfo",
    "/proc/kpagecgroup",
    "/proc/kpagecount",
    "/proc/kpageflags",
    "/proc/pagetypeinfo",
    "/run/udev",
    "/sys/bus/acpi",
    "/sys/bus/memory",
    "/sys/bus/node",
    "/sys/devices/system/cpu",
    "/sys/devices/system/memory",
    "/sys/devices/system/node",
    "/sys/devices/virtual/memory_tiering",
    "/sys/firmware/acpi",
    "/sys/firmware/memmap",
    "/sys/kernel/boot_params",
    DEBUGFS,
    "/sys/module/memory_hotplug",
)
"""What tells of the host's memory, or of its devices by the model's names: empty where the model
has no such thing."""
WRITABLE = frozenset({"/run/udev"})
"""What of that may be written anew: what udev knows of the devices that it finds."""
READ_ONLY = ("/proc/sys", "/proc/sysrq-trigger")
"""What is left of the host and could change its memory, besides sysfs and debugfs themselves."""
MODULE_PROGRAMS = ("modprobe", "insmod", "rmmod", "kmod")
"""What changes the host's modules; the kernel's selftest calls ``/sbin/modprobe``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """One path of the host at which the model's entry stands."""

    path: str
    is_folder: bool


def served_paths(folder: str) -> tuple[Served, ...]:
    """Everything below a mounted model that stands in for the host's; raises ``OSError``."""
    return tuple(_walk(folder, "/"))


def covered_paths(served: tuple[Served, ...]) -> tuple[str, ...]:
    """What has to be covered by something empty, for the model has nothing there."""
    taken = {one.path for one in served}
    return tuple(path for path in COVERED if path not in taken and os.path.lexists(path))


def _walk(folder: str, path: str) -> Iterator[Served]:
    with os.scandir(f"{folder}{path}") as entries:
        found = sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries)
    for name, is_folder in found:
        place = f"{path.rstrip('/')}/{name}"
        if place in SHARED:
            yield from _walk(folder, place)
        else:
            yield Served(path=place, is_folder=is_folder)
