"""Who is changing a state file: a note beside it, believed only while it is true.

Only the one who holds SQLite's lock writes the note, and takes it away before
giving the lock back, so no two ever write it. A process that is killed leaves
its note behind; whoever comes next overwrites it, and a reader believes it only
if that very process still runs (its number and the time it was started).
"""

import contextlib
import json
import os
import re
from pathlib import Path

_SUFFIX = "-holder"
_NO_NOTE = (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError)
"""What reading a note ends in that is none: it is only a file that anybody can write."""
_START_TIME = 19
"""Place of ``starttime`` in ``/proc/PID/stat``, counted behind the command's name."""


def note_holder(path: Path, asked: str, since: str) -> None:
    """Note that this process changes the file. What cannot be noted is only not told."""
    pid = os.getpid()
    note = {"pid": pid, "started": _started(pid), "asked": asked, "since": since}
    with contextlib.suppress(OSError):
        _note(path).write_text(json.dumps(note), encoding="utf-8")


def drop_holder(path: Path) -> None:
    """Take the note away."""
    with contextlib.suppress(OSError):
        _note(path).unlink()


def tell_holder(path: Path) -> str:
    """Say who holds the file, as far as that is known: process, command, since when."""
    try:
        note = json.loads(_note(path).read_text(encoding="utf-8"))
        pid, asked, since = int(note["pid"]), str(note["asked"]), str(note["since"])
        started = _started(pid)
        if started is None or started != note["started"]:
            return "another process"
    except _NO_NOTE:
        return "another process"
    return f"process {pid} ({_command(pid) or 'of unknown name'}) to {asked}, since {since}"


def _note(path: Path) -> Path:
    return path.with_name(path.name + _SUFFIX)


def _started(pid: int) -> str | None:
    """When a process was started, in the kernel's ticks; ``None`` where there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return stat.rpartition(")")[2].split()[_START_TIME]


def _command(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return ""
    text = b" ".join(words).decode("utf-8", errors="replace").strip()
    return re.sub(r"[^ -~]", "?", text)[:200]
