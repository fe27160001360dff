"""The process that makes a write which may block: it can be ended, and ends with its parent.

A fatal signal makes ``offline_pages()`` give up and put the block back; nothing
else does. So the process is killed, by whoever waits for it or, when that one
is killed itself, by the kernel (``PR_SET_PDEATHSIG``). That signal comes when
the *thread* ends that has forked; whoever starts a writer waits for it in the
same thread, so the thread ends before the write only together with the process.
"""

import ctypes
import errno
import os
import select
import signal
import time

from memhp.core.errno_names import errno_name

_PR_SET_PDEATHSIG = 1
_LET_THROUGH = {signal.SIGTSTP, signal.SIGSTOP, signal.SIGCONT}
"""Stopped with its parent by a person, a write gives up; unwatched it must not go on."""


class Writer:
    """A write under way: one word into one open file."""

    def __init__(self, handle: int, word: str) -> None:
        prctl = ctypes.CDLL(None, use_errno=True).prctl
        self._receive, send = os.pipe()
        parent = os.getpid()
        self._pid: int | None = os.fork()
        if self._pid == 0:
            _write_and_end(prctl, parent, (handle, send), word.encode())
        os.close(send)

    def answer(self, seconds: float | None) -> str | None:
        """Wait so long: the errno's name, empty where all went well, ``None`` for no answer yet.

        ``EINTR`` is the answer of a process that was killed.
        """
        ready, _, _ = select.select([self._receive], [], [], seconds)
        if not ready:
            return None
        told = os.read(self._receive, 2)
        code = int.from_bytes(told, "big") if told else errno.EINTR
        return (errno_name(code) or "EIO") if code else ""

    def kill(self) -> None:
        """Make the kernel give up, which may take a while."""
        if self._pid is not None:
            os.kill(self._pid, signal.SIGKILL)

    def end(self, seconds: float) -> bool:
        """Kill it if need be and wait at most so long; tells whether it is gone."""
        self.kill()
        until = time.monotonic() + seconds
        while self._pid is not None and not self._is_reaped():
            if time.monotonic() >= until:
                break
            select.select([], [], [], 0.01)
        if self._receive >= 0:
            os.close(self._receive)
            self._receive = -1
        return self._pid is None

    def _is_reaped(self) -> bool:
        if self._pid is None or os.waitpid(self._pid, os.WNOHANG)[0]:
            self._pid = None
        return self._pid is None


def _write_and_end(prctl: object, parent: int, handles: tuple[int, int], word: bytes) -> None:
    """The child: writes, tells the errno, and ends."""
    handle, send = handles
    code = errno.EIO
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals() - _LET_THROUGH)
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)  # type: ignore[operator]
        if os.getppid() != parent:
            # It has ended before the kernel was asked to tell.
            os.kill(os.getpid(), signal.SIGKILL)
        os.write(handle, word)
        code = 0
    except OSError as err:
        code = err.errno or errno.EIO
    finally:
        os.write(send, code.to_bytes(2, "big"))
        os.kill(os.getpid(), signal.SIGKILL)
