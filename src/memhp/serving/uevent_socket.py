"""Uevents for whoever connects: a Unix socket on which each message is one packet.

A client gets what is sent from the moment on at which it is let in. It gets
udev's form; one that sends the packet ``kernel`` gets that word back, and the
kernel's own form from then on. Who does not read gets no more: netlink would
drop messages silently, here the connection ends and the client knows.
"""

import os
import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

from memhp.core.errors import MachineError
from memhp.model.uevents import Uevent
from memhp.serving.udev_messages import kernel_form, udev_form

FORMS: Final = {b"udev": udev_form, b"kernel": kernel_form}
_WAITING: Final = 16
_LONGEST_WORD: Final = 64
_BUFFER_BYTES: Final = 1 << 22


class UeventSocket:
    """A socket at a path, and everybody who is connected to it."""

    def __init__(self, path: Path) -> None:
        """Make the socket; raises ``MachineError`` where it cannot be."""
        self.path = path
        self._clients: dict[socket.socket, bytes] = {}
        self._lock = threading.Lock()
        self._listening = _listening(path)
        threading.Thread(target=self._let_in, name="uevents", daemon=True).start()

    def send(self, uevent: Uevent) -> None:
        """Send a uevent to everybody, each in the form that it asked for."""
        with self._lock:
            messages = {form: FORMS[form](uevent) for form in set(self._clients.values())}
            for client, form in list(self._clients.items()):
                try:
                    client.send(messages[form], socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
                except OSError:
                    self._forget(client)

    def close(self) -> None:
        """End every connection and take the socket away."""
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        with suppress(OSError):
            self.path.unlink()
        with self._lock:
            for client in list(self._clients):
                self._forget(client)

    def _let_in(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)
            with self._lock:
                self._clients[client] = b"udev"
            threading.Thread(target=self._listen, args=(client,), daemon=True).start()

    def _listen(self, client: socket.socket) -> None:
        """Take a client's words until it goes."""
        with suppress(OSError):
            while word := client.recv(_LONGEST_WORD):
                with self._lock:
                    if word in FORMS and client in self._clients:
                        self._clients[client] = word
                        client.send(word, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        with self._lock:
            self._forget(client)

    def _forget(self, client: socket.socket) -> None:
        self._clients.pop(client, None)
        with suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)
        client.close()


def _listening(path: Path) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        _clear(path)
        listening.bind(os.fspath(path))
        listening.listen(_WAITING)
    except OSError as err:
        listening.close()
        raise MachineError(
            machine=str(path),
            problem=f"cannot be a socket for uevents ({err.strerror or err})",
            advice="give a path that is free, in a folder that you may write to, of 107 bytes "
            "at most",
        ) from err
    return listening


def _clear(path: Path) -> None:
    """Take away a socket that a server which was killed has left; nothing else."""
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
        try:
            probe.connect(os.fspath(path))
        except ConnectionRefusedError:
            path.unlink()
