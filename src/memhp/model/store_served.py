"""A machine of a state file that is served: one process has it, and everybody else is told where.

The server holds a lock (``flock``) on a note beside the file, as long as it
lives: the kernel lets go of it however the process ends, and a note without a
lock means nothing. Each guest of a file has a note of its own.
"""

import fcntl
import json
import os
import time
from contextlib import suppress
from pathlib import Path

from memhp.core.errors import MachineLocked, StateFileError

_TRIES = 20
_BETWEEN_TRIES_SECONDS = 0.01
_LONGEST_NOTE = 1 << 16


class ServedNote:
    """The note of a server on its machine, locked until it is taken away."""

    def __init__(self, path: Path, part: str, folder: str) -> None:
        """Take the machine; raises ``MachineLocked`` where another serves it."""
        self._path = _note(path, part)
        self._handle = _locked(path, part)
        text = json.dumps({"pid": os.getpid(), "folder": folder})
        os.ftruncate(self._handle, 0)
        os.pwrite(self._handle, text.encode("utf-8", "surrogateescape"), 0)

    def take_away(self) -> None:
        """Let go of the machine. The note goes first: nobody may lock what nobody finds."""
        with suppress(OSError):
            self._path.unlink()
        os.close(self._handle)


def refuse_served(path: Path, part: str) -> None:
    """Raise ``MachineLocked`` where another process serves this machine; does not wait."""
    try:
        handle = os.open(_note(path, part), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        raise _served(path, part, handle) from None
    except OSError:
        return
    finally:
        os.close(handle)


def _note(path: Path, part: str) -> Path:
    return path.with_name(f"{path.name}-served" + (f"-{part}" if part else ""))


def _locked(path: Path, part: str) -> int:
    """Open the note and lock it, and see that it is still the one that others find.

    Whoever looks has it locked for a moment, so a lock that is not got at once is
    asked for again.
    """
    note = _note(path, part)
    for _ in range(_TRIES):
        try:
            handle = os.open(note, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as err:
            raise _cannot_be_made(path, note, err) from err
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if note.exists() and os.path.samestat(os.fstat(handle), note.stat()):
                return handle
            os.close(handle)
        except FileNotFoundError:
            os.close(handle)
        except BlockingIOError:
            served = _served(path, part, handle)
            os.close(handle)
            time.sleep(_BETWEEN_TRIES_SECONDS)
        except OSError as err:
            os.close(handle)
            raise _cannot_be_made(path, note, err) from err
    raise served


def _cannot_be_made(path: Path, note: Path, err: OSError) -> StateFileError:
    return StateFileError(
        machine=str(path),
        problem=f"cannot be served, for {note} cannot be made and locked ({err.strerror})",
        advice="look at the permissions of its folder",
    )


def _served(path: Path, part: str, handle: int) -> MachineLocked:
    try:
        note = json.loads(os.pread(handle, _LONGEST_NOTE, 0))
        who, where = f"process {int(note['pid'])}", str(note["folder"])
    except (OSError, ValueError, TypeError, KeyError):
        who, where = "another process", ""
    return MachineLocked(
        machine=f"{path}/{part}" if part else str(path),
        problem=f"is served by {who}" + (f" at {where}" if where else ""),
        advice=f"use '-M linux:{where}', or unmount it with 'memhp model umount {where}'"
        if where
        else "try again in a moment",
    )
