"""A socket between memhp and QEMU that breaks off once, just behind a command of a name."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from json_stream import JsonStream


class _Cut:
    def __init__(self, command: str, target: str, listener: socket.socket) -> None:
        self._command = command
        self._target = target
        self._listener = listener
        self._done = False

    def serve(self) -> None:
        """One client at a time, as QEMU does; ends when the listener is closed."""
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                with client, socket.socket(socket.AF_UNIX) as server:
                    server.connect(self._target)
                    back = threading.Thread(target=_copy, args=(server, client))
                    back.start()
                    self._forward(client, server)
                    for end in (client, server):
                        with suppress(OSError):
                            end.shutdown(socket.SHUT_RDWR)
                    back.join()

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        stream = JsonStream()
        with suppress(OSError):
            while piece := client.recv(1 << 16):
                server.sendall(piece)
                commands = [asked.get("execute") for asked in stream.feed(piece)]
                if self._command in commands and not self._done:
                    self._done = True
                    return


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(1 << 16):
            target.sendall(piece)


@contextmanager
def cut_after(command: str, target: str, path: Path) -> Iterator[Path]:
    """Listen at a path for QEMU's socket ``target``; after the first ``command``, hang up once."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    thread = threading.Thread(target=_Cut(command, target, listener).serve)
    thread.start()
    try:
        yield path
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
