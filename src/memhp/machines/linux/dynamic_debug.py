"""Letting the kernel say why an offline failed: its debug messages, on for a moment.

Only the call sites in ``offline_pages()`` are switched on, and only those that
were off are switched off again. What was switched on is written down first, in
a file that does not outlast the boot, with who asked for it: the last memhp
that still needs it switches it off, and one that was killed is found out by the
next.

Source: ``Documentation/admin-guide/dynamic-debug-howto.rst``.
"""

import fcntl
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from memhp.core.errors import NotSupported
from memhp.machines.linux.live_write import open_for_writing
from memhp.machines.linux.root import Root

CONTROLS: Final = ("proc/dynamic_debug/control", "sys/kernel/debug/dynamic_debug/control")
RECORD_FOLDER: Final = "/run/memhp"
_FILE_NAME: Final = "dynamic-debug.json"
_SITE: Final = re.compile(
    r"^mm/memory_hotplug\.c:([0-9]{1,6}) \[[^\]]*\]offline_pages =(\S+) ", re.MULTILINE
)
_SOURCE: Final = "mm/memory_hotplug.c"

Holder = tuple[int, int]
"""A process: its number, and when it started, in ticks since boot."""


class DynamicDebug:
    """The switch of one machine. ``record_folder`` is where what is on is written down."""

    def __init__(self, root: Root, record_folder: str = RECORD_FOLDER) -> None:
        self._root = root
        self._folder = record_folder

    @contextmanager
    def on(self) -> Iterator[str | None]:
        """Switch the messages on for a while; gives why that is not possible, or ``None``."""
        problem = self.switch_on()
        try:
            yield problem
        finally:
            if problem is None:
                self.switch_off()

    def switch_on(self) -> str | None:
        """Ask for the messages; gives why there are none, or ``None`` where they are on."""
        control = self._control()
        if control is None:
            return "the kernel has no dynamic debug"
        try:
            # Nothing is written down where nothing may be switched.
            os.close(open_for_writing(self._root, control))
            with self._record() as record:
                self._forget_the_dead(record)
                off = sites_without(self._root.text_if_there(control) or "")
                record["lines"] = sorted({*record["lines"], *off})
                record["holders"].append(list(holder_of(os.getpid()) or (os.getpid(), 0)))
                self._save(record)
                self._switch(control, off, "+p")
        except NotSupported:
            return "memhp may not switch it on here"
        except OSError as err:
            return f"dynamic debug cannot be switched on ({err.strerror})"
        return None

    def switch_off(self) -> None:
        """No longer need the messages; whoever is last switches them off."""
        try:
            with self._record() as record:
                mine = list(holder_of(os.getpid()) or (os.getpid(), 0))
                if mine in record["holders"]:
                    record["holders"].remove(mine)
                self._forget_the_dead(record)
        except (OSError, NotSupported):
            # The record stays, and whoever comes next tries again.
            return

    def put_back(self) -> None:
        """Switch off what a memhp that was killed has left on."""
        if os.path.exists(f"{self._folder}/{_FILE_NAME}"):
            self.switch_off()

    def _forget_the_dead(self, record: dict[str, Any]) -> None:
        """Leave those out that have ended; with nobody left, put the switches back."""
        record["holders"] = [h for h in record["holders"] if holder_of(h[0]) == tuple(h)]
        control = self._control()
        if not record["holders"] and record["lines"] and control is not None:
            self._switch(control, record["lines"], "-p")
            record["lines"] = []
        self._save(record)

    def _control(self) -> str | None:
        return next((path for path in CONTROLS if os.path.exists(self._root.path(path))), None)

    def _switch(self, control: str, lines: list[int], flags: str) -> None:
        for line in lines:
            handle = open_for_writing(self._root, control)
            try:
                os.write(handle, f"file {_SOURCE} line {line} {flags}\n".encode())
            finally:
                os.close(handle)

    @contextmanager
    def _record(self) -> Iterator[dict[str, Any]]:
        """The record, while nobody else changes it."""
        os.makedirs(self._folder, mode=0o700, exist_ok=True)
        handle = os.open(f"{self._folder}/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield self._load()
        finally:
            os.close(handle)

    def _load(self) -> dict[str, Any]:
        try:
            with open(f"{self._folder}/{_FILE_NAME}", encoding="utf-8") as file:
                found = json.load(file)
            lines = [int(line) for line in found["lines"]]
            holders = [[int(pid), int(start)] for pid, start in found["holders"]]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return {"lines": [], "holders": []}
        return {"lines": lines, "holders": holders}

    def _save(self, record: dict[str, Any]) -> None:
        path = f"{self._folder}/{_FILE_NAME}"
        if not record["holders"] and not record["lines"]:
            if os.path.exists(path):
                os.unlink(path)
            return
        with open(f"{path}.new", "w", encoding="utf-8") as file:
            json.dump(record, file)
        os.replace(f"{path}.new", path)


def sites_without(control: str) -> list[int]:
    """The lines of ``offline_pages()`` whose messages are off, by the text of the control file."""
    return [int(line) for line, flags in _SITE.findall(control) if "p" not in flags]


def holder_of(pid: int) -> Holder | None:
    """A process that runs; ``None`` where there is none of this number.

    Source: ``proc_pid_stat(5)``; the name may hold blanks and brackets.
    """
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return None
    return (pid, int(fields[19])) if len(fields) > 19 else None
