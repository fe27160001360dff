"""Writing a Linux machine's state files: the one place that does it, behind the guard.

The write may block for minutes and be retried by the kernel for ever, so a
process of its own makes it: a signal makes the kernel give up and put the
block back. What came of it is read back and never assumed.
"""

import os
import time
from collections.abc import Callable
from typing import Final

from memhp.core.errno_names import errno_name
from memhp.core.errors import MachineError, NotSupported
from memhp.machines.linux.mounted_model import MountedModel, is_of
from memhp.machines.linux.root import Root
from memhp.machines.linux.writer import Writer

Watch = Callable[[], bool]
"""Looks at the machine while a write blocks; tells whether the write may go on."""
HELD: Final = "held"
"""In place of an errno: told to let go, the kernel did not."""
GRACE: Final = 5.0
"""Seconds that the kernel has to let go of what was given up."""
_LOOK_EVERY = 0.5
NO_LIVE_WRITES = "MEMHP_NO_LIVE_WRITES"


def open_for_writing(root: Root, relative: str) -> int:
    """Open a state file of this host, or of a mounted model, for writing; returns the handle.

    The only function that does. Raises ``NotSupported`` for this host while
    ``MEMHP_NO_LIVE_WRITES`` is set, and for a saved tree; ``MachineError`` where
    what was opened is not the mounted model's; ``OSError``.
    """
    if root.mounted is None:
        _check_live(root)
    handle = os.open(root.path(relative), os.O_WRONLY | os.O_CLOEXEC)
    if root.mounted is not None:
        _check_mounted(root, root.mounted, relative, handle)
    return handle


def _check_live(root: Root) -> None:
    if not root.is_live:
        raise NotSupported(
            machine=root.name,
            operation="be changed, for it is a saved tree",
            advice="try it on a model of it",
        )
    if os.environ.get(NO_LIVE_WRITES):
        raise NotSupported(
            machine=root.name,
            operation=f"be changed while {NO_LIVE_WRITES} is set",
            advice="unset it, or try it on a model",
        )


def _check_mounted(root: Root, mounted: MountedModel, relative: str, handle: int) -> None:
    """Look at what was really opened, whatever the path meant a moment ago."""
    if is_of(mounted, handle):
        return
    os.close(handle)
    raise MachineError(
        machine=root.name,
        problem=f"is not what {root.path(relative)} belongs to",
        advice="see what is mounted there; nothing was written",
    )


def write_live(
    root: Root, relative: str, word: str, until: float | None, watch: Watch | None = None
) -> str | None:
    """Write a word, until a deadline on the monotonic clock or an interruption.

    ``watch`` looks at the machine every now and then; what it says no to is
    given up. Returns the errno's name, or ``None`` where the kernel took it;
    ``EINTR`` where it was given up; ``HELD`` where the kernel was told to and
    has not let go within ``GRACE`` seconds: then the process is left to it.
    Raises ``NotSupported``.
    """
    try:
        handle = open_for_writing(root, relative)
    except OSError as err:
        return errno_name(err.errno or 0) or "EIO"
    try:
        writer = Writer(handle, word)
    finally:
        os.close(handle)
    return _supervise(writer, until, watch)


def _supervise(writer: Writer, until: float | None, watch: Watch | None) -> str | None:
    answer = None
    is_gone = False
    try:
        answer = _await(writer, until, watch)
    finally:
        # An answer that came while it was given up is one all the same.
        writer.kill()
        if answer is None:
            answer = writer.answer(GRACE)
        is_gone = writer.end(GRACE)
    if answer is None:
        return "EINTR" if is_gone else HELD
    return answer or None


def _await(writer: Writer, until: float | None, watch: Watch | None) -> str | None:
    """Wait for the answer until somebody says that it is enough."""
    while True:
        left = None if until is None else max(0.0, until - time.monotonic())
        pause = left if watch is None else min(_LOOK_EVERY, _LOOK_EVERY if left is None else left)
        answer = writer.answer(pause)
        if answer is not None:
            return answer
        if until is not None and time.monotonic() >= until:
            return None
        if watch is not None and not watch():
            return None
