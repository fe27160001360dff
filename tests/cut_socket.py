"""A socket between memhp and QEMU that breaks off once, at a command of a name.

Either the command is lost, or QEMU has it and its answer is lost.
"""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from json_stream import JsonStream

_SECONDS = 30


class _Cut:
    def __init__(
        self, command: str, target: str, listener: socket.socket, *, arrives: bool
    ) -> None:
        self._command: str | None = command
        self._target = target
        self._listener = listener
        self._arrives = arrives
        self._cutting = False
        self._answered = threading.Event()

    def serve(self) -> None:
        """One client at a time, as QEMU does; ends when the listener is closed."""
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                with client, socket.socket(socket.AF_UNIX) as server:
                    server.connect(self._target)
                    self._cutting = False
                    back = threading.Thread(target=self._back, args=(server, client))
                    back.start()
                    self._forth(client, server)
                    for end in (client, server):
                        with suppress(OSError):
                            end.shutdown(socket.SHUT_RDWR)
                    back.join()

    def _forth(self, client: socket.socket, server: socket.socket) -> None:
        stream = JsonStream()
        with suppress(OSError):
            while piece := client.recv(1 << 16):
                if self._command in [asked.get("execute") for asked in stream.feed(piece)]:
                    self._command, self._cutting = None, True
                    if self._arrives:
                        server.sendall(piece)
                        self._answered.wait(_SECONDS)
                    return
                server.sendall(piece)

    def _back(self, server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while piece := server.recv(1 << 16):
                if self._cutting:
                    self._answered.set()
                    return
                client.sendall(piece)


@contextmanager
def cut_at(command: str, target: str, path: Path, *, arrives: bool) -> Iterator[Path]:
    """Listen at a path for QEMU's socket ``target``; at the first ``command``, hang up once."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    thread = threading.Thread(target=_Cut(command, target, listener, arrives=arrives).serve)
    thread.start()
    try:
        yield path
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
