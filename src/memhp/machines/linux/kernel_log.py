"""The kernel's log from one moment on, through ``/dev/kmsg``.

Source: ``Documentation/ABI/testing/dev-kmsg``.
"""

import errno
import os
import re
from typing import Final, Self

from memhp.machines.linux.root import Root

_FILE: Final = "/dev/kmsg"
_RECORD: Final = re.compile(r"[0-9]+,[0-9]+,[0-9]+,[^;]*;(.*)", re.DOTALL)
_LONGEST: Final = 8192
_MOST_RECORDS: Final = 20000


class KernelLog:
    """What the kernel logs from now on, in ``with``; nothing where there is no ``handle``."""

    def __init__(self, handle: int | None) -> None:
        self._handle = handle

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._handle is not None:
            os.close(self._handle)

    def lines(self) -> list[str]:
        """The lines that came since the last call; those that were overwritten are lost."""
        found: list[str] = []
        if self._handle is None:
            return found
        for _ in range(_MOST_RECORDS):
            try:
                record = os.read(self._handle, _LONGEST)
            except OSError as err:
                if err.errno == errno.EPIPE:
                    continue
                break
            if not record:
                break
            found.append(text_of(record))
        return found


def open_kernel_log(path: str = _FILE) -> KernelLog | None:
    """Open the log at its end; ``None`` where it cannot be read."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        os.lseek(handle, 0, os.SEEK_END)
    except OSError:
        os.close(handle)
        return None
    return KernelLog(handle)


def log_from_now(root: Root) -> KernelLog:
    """A machine's log from its end on; one that says nothing where it cannot be read."""
    return open_kernel_log(root.path("dev/kmsg")) or KernelLog(None)


def text_of(record: bytes) -> str:
    """The text of one record, without its level, number and time, and without its dictionary."""
    match = _RECORD.match(record.decode("utf-8", "replace"))
    return "" if match is None else match[1].split("\n", 1)[0]
