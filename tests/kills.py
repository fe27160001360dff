"""A process that kills itself at its Nth write: a line of the journal, or a change of a machine."""

import os
import signal
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

Note = Callable[[str, object], None]
"""``record_property``: tells something of a test in its report."""


class Killer:
    """Counts writes and ends this very process at one of them."""

    def __init__(self, left: int) -> None:
        self._left = left

    def count(self, *_what: object) -> None:
        self._left -= 1
        if self._left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, plain: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any) -> Any:
            self.count()
            result = plain(*arguments)
            self.count()
            return result

        return counted


def in_a_child(killer: Killer, work: Callable[[], object]) -> bool:
    """Do the work in a process of its own; true where it was killed."""
    pid = os.fork()
    if pid == 0:
        plain_connect = sqlite3.connect

        def seen(text: str) -> None:
            if text.startswith(("BEGIN", "INSERT", "COMMIT")):
                killer.count()

        def connect(*arguments: Any, **options: Any) -> Any:
            connection = plain_connect(*arguments, **options)
            connection.set_trace_callback(seen)
            return connection

        sqlite3.connect = connect
        os.write, os.fdatasync = killer.around(os.write), killer.around(os.fdatasync)
        try:
            work()
        finally:
            os._exit(0)
    _, status = os.waitpid(pid, 0)
    return os.WIFSIGNALED(status)


def tell(record_property: Note, name: str, points: int) -> None:
    """Tell how many points were tried; the summary of the run prints it."""
    record_property("told", f"{name}: killed at {points} points, ended as promised every time")


@pytest.fixture
def in_ram(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory: a killed process loses nothing that a disk would have kept for it."""
    ram = Path("/dev/shm")
    if not os.access(ram, os.W_OK | os.X_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="memhp-", dir=ram) as folder:
        yield Path(folder)
