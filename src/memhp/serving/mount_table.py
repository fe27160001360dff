"""The mounts that this process sees (``/proc/self/mountinfo``)."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_TABLE = Path("/proc/self/mountinfo")
_ESCAPED = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True, kw_only=True)
class MountPoint:
    """One line: its number, where it lies, its file system, and whether it is read-only here."""

    number: int
    path: str
    kind: str
    is_read_only: bool


def mount_table() -> tuple[MountPoint, ...]:
    """All mounts, covered ones too, in the kernel's order; raises ``OSError``."""
    return tuple(_parsed(_TABLE.read_text(encoding="utf-8", errors="surrogateescape")))


def mount_number_of(path: str) -> int:
    """The number of the mount that a path leads to; raises ``OSError``."""
    handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        return mount_number_of_open(handle)
    finally:
        os.close(handle)


def mount_number_of_open(handle: int) -> int:
    """The number of the mount that an open file was reached through; raises ``OSError``."""
    shown = Path(f"/proc/self/fdinfo/{handle}").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in shown.splitlines() if line.startswith("mnt_id:"))


def _parsed(text: str) -> Iterator[MountPoint]:
    """``proc_pid_mountinfo(5)``: optional fields end with a dash."""
    for line in text.splitlines():
        fields = line.split(" ")
        kind = fields[fields.index("-", 6) + 1]
        path = _ESCAPED.sub(lambda found: chr(int(found[1], 8)), fields[4])
        yield MountPoint(
            number=int(fields[0]),
            path=path,
            kind=kind,
            is_read_only="ro" in fields[5].split(","),
        )
