"""A shell on a guest's serial line: commands in, text and exit code out."""

import re
import secrets
import socket
import time
from base64 import b64encode
from codecs import getincrementaldecoder
from collections.abc import Callable
from pathlib import Path
from typing import Self

from memhp.core.errors import ContactLost

_MOST_AT_ONCE = 3000
"""Characters of a line: a terminal takes 4095, and silently no more."""


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
        tag = self._begin(command)
        end = _end_of(tag)
        text = ""
        while (match := end.search(text)) is None:
            text += self.wait_for(":", seconds)
        return int(match[1]), text[: match.start()].rpartition(f"{tag}<")[2]

    def follow(self, command: str, tell: Callable[[str], object], *, piped: bool = False) -> int:
        """Run a command for as long as it takes and tell what it prints; returns its exit code.

        A shell of its own takes it from a file: it may be of any length, and whatever is
        wrong with it ends that shell alone. It reads nothing. ``piped``: it prints
        into a pipe, where nothing is coloured and drawn. Raises ``ContactLost``.
        """
        file = f"/tmp/command-{secrets.token_hex(6)}"  # noqa: S108 - the guest's, and nobody else is in it
        coded = b64encode(command.encode(errors="surrogateescape")).decode()
        for place in range(0, len(coded), _MOST_AT_ONCE):
            self.run(f"echo {coded[place : place + _MOST_AT_ONCE]} >> {file}.64")
        self.run(f"base64 -d {file}.64 > {file}; rm -f {file}.64")
        words = f"sh {file} < /dev/null"
        words = f"( set -o pipefail; {words} 2>&1 | cat )" if piped else words
        tag = self._begin(f"{words}; set -- $?; rm -f {file}; ( exit $1 )")
        end, decoder = _end_of(tag), getincrementaldecoder("utf-8")("replace")
        self._socket.settimeout(None)
        text = ""
        while f"{tag}<" not in text:
            text = _joined(text, decoder.decode(self._received()))
        text = text.rpartition(f"{tag}<")[2]
        while True:
            told = len(text) - _may_be_end(text, tag)
            tell(text[:told])
            text = text[told:]
            if (match := end.search(text)) is not None:
                return int(match[1])
            text = _joined(text, decoder.decode(self._received()))

    def _begin(self, command: str) -> str:
        """Have a command run; returns the tag before and behind what it prints.

        What came before is the rest of an answer for which nobody waited.
        """
        tag = f"T{secrets.token_hex(6)}"
        # The tag is put together by the shell, so that an echo of this line does not end it.
        # No newline follows it: unread, that would be taken for the beginning of the next answer.
        marks = f'echo -n "{tag[:1]}""{tag[1:]}'
        line = f'{marks}<"; {{ {command}\n}} 2>&1; {marks}:$?:"\n'
        self._socket.sendall(line.encode())
        return tag

    def _received(self) -> bytes:
        try:
            piece = self._socket.recv(1 << 16)
        except OSError as err:
            raise self._lost(f"its serial line broke off ({err.strerror})") from err
        if not piece:
            raise self._lost("it has ended")
        return piece

    def garbled(self, what: str, err: Exception) -> ContactLost:
        """The error for an answer that is there and cannot be read."""
        return self._lost(f"shows {what} garbled ({type(err).__name__}: {err})")

    def _lost(self, problem: str) -> ContactLost:
        return ContactLost(machine=self._name, problem=problem, advice="'memhp lab list' shows it")


def _end_of(tag: str) -> re.Pattern[str]:
    return re.compile(rf"{tag}:([0-9]{{1,3}}):")


def _joined(text: str, more: str) -> str:
    return (text + more).replace("\r\n", "\n")


def _may_be_end(text: str, tag: str) -> int:
    """How many characters at the end of a text belong to the tag, or may once there are more."""
    if tag in text:
        return len(text) - text.index(tag)
    held = next(n for n in range(len(tag), -1, -1) if text.endswith(tag[:n]))
    # Of a line's end the first half may have come.
    return held or int(text.endswith("\r"))


def _tail(data: bytes) -> str:
    return data.decode("utf-8", "replace").strip()[-200:] or "none"
