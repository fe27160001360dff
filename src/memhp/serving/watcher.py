"""A second process that unmounts when the server is killed.

Nobody who is sent SIGKILL takes its mount away, and what is left then answers
every access with ENOTCONN. The watcher is a fork of the server from before it
has threads; it waits at a pipe that ends with the server. (libfuse's
``auto_unmount`` does the same, but looks only once, and may look too early.)
"""

import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Final

from memhp.serving.unmount import is_mounted, unmount

_CLEAN: Final = b"unmounted"
_LONGEST: Final = 64


class Watcher:
    """The watcher's process, seen from the server."""

    def __init__(self, folder: Path) -> None:
        """Start it; there may be no other thread yet."""
        receive, self._send = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            _watch(receive, self._send, folder)
        os.close(receive)

    def dismiss(self) -> None:
        """Say that there is nothing left to do, and wait for its end."""
        # Whoever has killed it before has to unmount by hand, and no more.
        with suppress(OSError):
            os.write(self._send, _CLEAN)
        os.close(self._send)
        with suppress(ChildProcessError):
            os.waitpid(self._pid, 0)


def _watch(receive: int, send: int, folder: Path) -> None:
    """The other process's whole life; it ends by a signal, for nobody else may clean up here."""
    try:
        os.setsid()
        os.chdir("/")
        os.close(send)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        if os.read(receive, _LONGEST) != _CLEAN and is_mounted(folder):
            unmount(folder)
    finally:
        os.kill(os.getpid(), signal.SIGKILL)
