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
    """One line: its number, where it lies, its file system, and how it is mounted here.

    What happens to a shared one happens in other namespaces as well.
    """

    number: int
    path: str
    kind: str
    is_read_only: bool
    is_shared: bool


def mount_table() -> tuple[MountPoint, ...]:
    """All mounts, covered ones too, in the kernel's order; raises ``OSError``."""
    return tuple(_parsed(_TABLE.read_text(encoding="utf-8", errors="surrogateescape")))


def is_reached(one: MountPoint) -> bool:
    """Whether the mount's path leads to it, and not to another that covers it."""
    try:
        handle = os.open(one.path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        shown = Path(f"/proc/self/fdinfo/{handle}").read_text(encoding="ascii")
    finally:
        os.close(handle)
    return f"mnt_id:\t{one.number}\n" in shown


def _parsed(text: str) -> Iterator[MountPoint]:
    """``proc_pid_mountinfo(5)``: optional fields end with a dash."""
    for line in text.splitlines():
        fields = line.split(" ")
        dash = fields.index("-", 6)
        path = _ESCAPED.sub(lambda found: chr(int(found[1], 8)), fields[4])
        yield MountPoint(
            number=int(fields[0]),
            path=path,
            kind=fields[dash + 1],
            is_read_only="ro" in fields[5].split(","),
            is_shared=any(field.startswith("shared:") for field in fields[6:dash]),
        )
