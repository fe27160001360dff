"""A shell on a guest's serial line: commands in, text and exit code out."""

import re
import secrets
import socket
import time
from pathlib import Path
from typing import Self

from memhp.core.errors import ContactLost


class SerialShell:
    """Talks to the shell behind a Unix socket. Close it, or use it in ``with``."""

    def __init__(self, path: Path, name: str) -> None:
        self._name = name
        self._socket = socket.socket(socket.AF_UNIX)
        try:
            self._socket.connect(str(path))
        except OSError as err:
            self._socket.close()
            raise self._lost(f"its serial line is gone ({err.strerror})") from err

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_problem: object) -> None:
        self._socket.close()

    def wait_for(self, mark: str, seconds: float) -> str:
        """Read until a mark comes; raises ``ContactLost``."""
        found = b""
        end = time.monotonic() + seconds
        while mark.encode() not in found:
            self._socket.settimeout(max(0.01, end - time.monotonic()))
            try:
                piece = self._socket.recv(1 << 16)
            except OSError as err:
                raise self._lost(f"it says nothing more; its last words: {_tail(found)}") from err
            if not piece:
                raise self._lost(f"it has ended; its last words: {_tail(found)}")
            found += piece
        return found.decode("utf-8", "replace").replace("\r", "")

    def run(self, command: str, seconds: float = 60) -> tuple[int, str]:
        """Run a command; returns its exit code and what it printed. Raises ``ContactLost``."""
        tag = f"T{secrets.token_hex(6)}"
        # The tag is put together by the shell, so that an echo of this line does not end it.
        # No newline follows it: unread, that would be taken for the beginning of the next answer.
        line = f'{{ {command}\n}} 2>&1; echo -n "{tag[:1]}""{tag[1:]}:$?:"\n'
        self._socket.sendall(line.encode())
        end = re.compile(rf"{tag}:([0-9]{{1,3}}):")
        text = ""
        while (match := end.search(text)) is None:
            text += self.wait_for(":", seconds)
        return int(match[1]), text[: match.start()]

    def garbled(self, what: str, err: Exception) -> ContactLost:
        """The error for an answer that is there and cannot be read."""
        return self._lost(f"shows {what} garbled ({type(err).__name__}: {err})")

    def _lost(self, problem: str) -> ContactLost:
        return ContactLost(machine=self._name, problem=problem, advice="'memhp lab list' shows it")


def _tail(data: bytes) -> str:
    return data.decode("utf-8", "replace").strip()[-200:] or "none"
