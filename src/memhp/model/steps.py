"""Changes as generators: they stop wherever the kernel may sleep or be signalled.

A change that is *stepped* lets readers, and other writers, in between; the
plain call runs it to its end. Invariants hold at every stop. ``Signal`` thrown
in at a stop ends the change as ``-EINTR`` does where the kernel looks at
pending signals; elsewhere the kernel does not look, and neither does the model.
"""

import os
from collections.abc import Callable, Generator
from enum import StrEnum
from typing import Final, TypeVar

from memhp.core.errno_names import errno_name

T = TypeVar("T")


class Pause(StrEnum):
    """Why a change has stopped."""

    LOCK = "waiting for device_hotplug_lock"
    GOING_ONLINE = "notifiers hear MEM_GOING_ONLINE"
    GOING_OFFLINE = "notifiers hear MEM_GOING_OFFLINE"
    MIGRATING = "pages are being migrated"
    RETRYING = "migration failed, and is tried again"
    BETWEEN_BLOCKS = "one block is done and the next comes"


LOOKS_FOR_SIGNALS: Final = frozenset(
    {Pause.LOCK, Pause.GOING_OFFLINE, Pause.MIGRATING, Pause.RETRYING}
)
"""Where the kernel looks for a signal: ``lock_device_hotplug_sysfs()``, ``offline_pages()``."""

Steps = Generator[Pause, None, T]


class Signal(Exception):
    """A signal for the task that makes the change."""


class WouldBlock(Exception):
    """A plain call would wait for ever: a stepped change holds the lock."""


class KernelRefusal(OSError):
    """The kernel's no: an errno, and the reason in the kernel's own terms."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.reason = reason

    @property
    def errno_name(self) -> str:
        """The errno as the headers spell it: ``EBUSY``."""
        return errno_name(self.errno or 0) or f"errno {self.errno}"

    def __str__(self) -> str:
        return f"{self.reason} [{self.errno_name}: {os.strerror(self.errno or 0)}]"


def run(steps: Steps[T], at_stop: Callable[[Pause], None] = lambda _pause: None) -> T:
    """Run a change to its end and tell of its stops.

    It never waits: raises ``WouldBlock`` where a stepped change holds the lock,
    and sends a signal where the kernel would try for ever.
    """
    pause: Pause | None = None
    while True:
        try:
            pause = next(steps) if pause is not Pause.RETRYING else steps.throw(Signal())
        except StopIteration as stop:
            result: T = stop.value
            return result
        if pause is Pause.LOCK:
            steps.close()
            raise WouldBlock
        at_stop(pause)
