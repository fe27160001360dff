"""Whether the kernel is at an ACPI hotplug right now, and what it has said since.

A write to ``eject`` is a request that the kernel queues (``acpi_hotplug_schedule()``);
one worker does what is queued, one after the other (``kacpi_hotplug_wq`` is
ordered). While it works, the worker's name says so: ``kworker/…+kacpi_hotplug``
(``wq_worker_comm()``; with ``-`` it names what it did last).
"""

import os
from collections.abc import Iterator
from types import TracebackType
from typing import Final, Self

from memhp.core.errors import MachineError
from memhp.machines.linux.root import Root

_FIRST_THREAD: Final = "proc/2"
_AT_WORK: Final = "+kacpi_hotplug"
_LONGEST_RECORD: Final = 1 << 13
_MOST_RECORDS: Final = 10_000


def is_hotplug_at_work(root: Root) -> bool | None:
    """Whether an ACPI hotplug is under way; ``None`` where nobody can tell.

    In a container the kernel's threads are not seen, and a saved tree has none.
    A mounted model has done it when the write returns.
    """
    if root.mounted is not None:
        return False
    try:
        if root.text_if_there(f"{_FIRST_THREAD}/comm") != "kthreadd":
            return None
        children = root.text_if_there(f"{_FIRST_THREAD}/task/2/children")
        if not children:
            return None
        return any(_AT_WORK in (_comm(root, pid) or "") for pid in children.split())
    except MachineError:
        return None


def _comm(root: Root, pid: str) -> str | None:
    try:
        return root.text_if_there(f"proc/{pid}/comm")
    except MachineError:
        # It has ended meanwhile (ESRCH).
        return None


class LogSince:
    """The kernel's log from now on; empty where it cannot be read.

    Source: ``Documentation/ABI/testing/dev-kmsg``.
    """

    def __init__(self, root: Root) -> None:
        self._handle: int | None = None
        try:
            self._handle = os.open(
                root.path("dev/kmsg"), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
            )
            os.lseek(self._handle, 0, os.SEEK_END)
        except OSError:
            self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, at: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop reading."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def lines(self) -> Iterator[str]:
        """What was said since this was asked last, without time stamps."""
        for _ in range(_MOST_RECORDS if self._handle is not None else 0):
            try:
                record = os.read(self._handle or 0, _LONGEST_RECORD)
            except BrokenPipeError:
                # Records were overwritten before they were read.
                continue
            except OSError:
                return
            if not record:
                return
            text = record.decode("utf-8", "replace").split("\n", 1)[0]
            yield text.partition(";")[2]
