"""What the host of guests has, and what it has promised them.

Other guests are seen by their QEMU processes alone: each counts with what it
was given at its start, or with what it has taken by now where that is more.
What has been added to one since, and is not in use yet, cannot be seen so.
"""

import os
import re
from collections.abc import Iterator
from typing import Final

from memhp.core.geometry import KIB
from memhp.core.snapshot import HostBudget
from memhp.machines.qemu.start_memory import memory_at_start

_ROW: Final = re.compile(r"^(MemTotal|MemAvailable|VmRSS):\s+(\d+) kB", re.MULTILINE)


def read_budget(guest_bytes: int, pid: int | None) -> HostBudget | None:
    """The budget of this host with a guest of ``guest_bytes`` among others; ``None``: unknown."""
    rows = _rows("/proc/meminfo")
    if "MemTotal" not in rows:
        return None
    used = rows["MemTotal"] - rows.get("MemAvailable", 0)
    others = sum(max(0, given - taken) for given, taken in _others(pid))
    mine = max(0, guest_bytes - _rows(f"/proc/{pid}/status").get("VmRSS", 0))
    return HostBudget(
        host=f"linux:{_machine_id()}",
        total_bytes=rows["MemTotal"],
        promised_bytes=used + others + mine,
    )


def _others(pid: int | None) -> Iterator[tuple[int, int]]:
    """What each other QEMU process was given, and what it has taken."""
    for name in os.listdir("/proc"):
        if not name.isdecimal() or int(name) == pid:
            continue
        try:
            with open(f"/proc/{name}/cmdline", "rb") as file:
                words = file.read().split(b"\0")
        except OSError:
            continue
        if b"qemu-system-" in words[0] or words[0].endswith(b"/kvm"):
            given = memory_at_start([os.fsdecode(word) for word in words])
            yield given, _rows(f"/proc/{name}/status").get("VmRSS", 0)


def _rows(path: str) -> dict[str, int]:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return {name: int(value) * KIB for name, value in _ROW.findall(file.read())}
    except OSError:
        return {}


def _machine_id() -> str:
    try:
        with open("/etc/machine-id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return "unknown"
