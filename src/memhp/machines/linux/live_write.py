"""Writing a Linux machine's state files: the one place that does it, behind the guard.

The write may block for minutes and be retried by the kernel for ever, so a
process of its own makes it: a signal makes the kernel give up and put the
block back. What came of it is read back and never assumed.
"""

import errno
import os
import select
import signal
import time

from memhp.core.errno_names import errno_name
from memhp.core.errors import MachineError, NotSupported
from memhp.machines.linux.mounted_model import MountedModel, is_of
from memhp.machines.linux.root import Root

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


def write_live(root: Root, relative: str, word: str, until: float | None) -> str | None:
    """Write a word, until a deadline on the monotonic clock or an interruption.

    Returns the errno's name, or ``None`` where the kernel took it; ``EINTR``
    where the deadline ended it. Raises ``NotSupported``.
    """
    try:
        handle = open_for_writing(root, relative)
    except OSError as err:
        return errno_name(err.errno or 0) or "EIO"
    receive, send = os.pipe()
    pid = os.fork()
    if pid == 0:
        _write_and_end(handle, send, word)
    os.close(handle)
    os.close(send)
    try:
        return _await(pid, receive, until)
    finally:
        os.close(receive)


def _write_and_end(handle: int, send: int, word: str) -> None:
    """The child: writes, tells the errno, and ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    code = 0
    try:
        os.write(handle, word.encode())
    except OSError as err:
        code = err.errno or errno.EIO
    finally:
        os.write(send, code.to_bytes(2, "big"))
        os.kill(os.getpid(), signal.SIGKILL)


def _await(pid: int, receive: int, until: float | None) -> str | None:
    """Wait for the child's word; at the deadline, or when interrupted, make the kernel give up."""
    try:
        left = None if until is None else max(0.0, until - time.monotonic())
        ready, _, _ = select.select([receive], [], [], left)
        if not ready:
            return "EINTR"
        data = os.read(receive, 2)
        code = int.from_bytes(data, "big") if data else errno.EIO
        return (errno_name(code) or "EIO") if code else None
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
