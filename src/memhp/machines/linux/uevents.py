"""Uevents of memory blocks as they come: the kernel's own, or those of a mounted model.

The kernel's come through libudev (pyudev), from the kernel and not from udev's
daemon, which is not everywhere. A model's come over the socket that its server
was told to make, one packet each, in the kernel's form.
"""

import os
import re
import socket
from contextlib import suppress
from typing import Any, Final, NamedTuple, Protocol

from memhp.core.errors import ContactLost, NotSupported
from memhp.machines.linux.root import Root

_BLOCK: Final = re.compile(r".*/memory(\d{1,9})")
_LONGEST: Final = 1 << 16
_SECONDS: Final = 10.0
_BUFFER_BYTES: Final = 1 << 24
"""Room for as many uevents as a DIMM of some TiB sends at once."""
_KERNEL: Final = b"kernel"


class Heard(NamedTuple):
    """A uevent of a block."""

    action: str
    block: int


class Uevents(Protocol):
    """Something that can be polled, and then has uevents to give."""

    def fileno(self) -> int:
        """What is readable when there is something to hear."""

    def hear(self) -> Heard | None:
        """The next uevent, if it is a block's, without waiting; raises ``ContactLost``."""

    def close(self) -> None:
        """Listen no longer."""


def open_uevents(root: Root) -> Uevents:
    """Listen from now on; raises ``NotSupported`` and ``ContactLost``."""
    if root.mounted is None:
        if not root.is_live:
            raise _not_here(root.name, "for it is a saved tree", "watch a machine that runs")
        return _of_this_host(root)
    if not root.mounted.uevents:
        raise _not_here(
            root.name, "for it was mounted without a socket for uevents", "mount it with --uevents"
        )
    return _OfModel(root.name, root.mounted.uevents)


def _not_here(machine: str, why: str, advice: str) -> NotSupported:
    return NotSupported(machine=machine, operation=f"be watched, {why}", advice=advice)


def _of_this_host(root: Root) -> "_OfKernel":
    try:
        import pyudev  # noqa: PLC0415 - nothing else needs it
    except ImportError as err:
        raise _not_here(
            root.name,
            f"for pyudev or the library libudev is missing ({err})",
            "install both, with pip install 'memhp[watch]' and package libudev1",
        ) from err
    try:
        return _OfKernel(root.name, pyudev)
    except (OSError, RuntimeError) as err:
        raise _not_here(
            root.name, f"for its kernel lets nobody listen ({err})", "watch it from the host"
        ) from err


class _OfKernel:
    """The kernel's multicast of uevents (``NETLINK_KOBJECT_UEVENT``)."""

    def __init__(self, machine: str, pyudev: Any) -> None:
        self._machine = machine
        self._monitor = pyudev.Monitor.from_netlink(pyudev.Context(), source="kernel")
        self._monitor.filter_by("memory")
        with suppress(OSError):
            # More than the limit is for root alone.
            self._monitor.set_receive_buffer_size(_BUFFER_BYTES)
        self._monitor.start()

    def fileno(self) -> int:
        """The netlink socket."""
        return int(self._monitor.fileno())

    def hear(self) -> Heard | None:
        """The next uevent, if it is a block's."""
        try:
            device = self._monitor.poll(timeout=0)
        except OSError as err:
            raise ContactLost(
                machine=self._machine, problem=f"sends uevents no longer ({err.strerror})"
            ) from err
        return None if device is None else _heard(device.action, device.device_path)

    def close(self) -> None:
        """Listen no longer: the monitor's socket is closed with it."""
        del self._monitor


class _OfModel:
    """The socket of a mounted model's server."""

    def __init__(self, machine: str, path: str) -> None:
        self._machine = machine
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.settimeout(_SECONDS)
        try:
            self._socket.connect(path)
            self._socket.send(_KERNEL)
            while self._socket.recv(_LONGEST) not in {_KERNEL, b""}:
                pass
        except OSError as err:
            self._socket.close()
            raise ContactLost(
                machine=machine, problem=f"has nobody at {path} who sends uevents ({err.strerror})"
            ) from err

    def fileno(self) -> int:
        """The socket."""
        return self._socket.fileno()

    def hear(self) -> Heard | None:
        """The next uevent, if it is a block's."""
        try:
            packet = self._socket.recv(_LONGEST, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None
        except OSError as err:
            raise self._gone() from err
        if not packet:
            raise self._gone()
        lines = packet.decode("utf-8", "replace").split("\0")[1:]
        values = dict(line.split("=", 1) for line in lines if "=" in line)
        if values.get("SUBSYSTEM") != "memory":
            return None
        return _heard(values.get("ACTION", ""), values.get("DEVPATH", ""))

    def close(self) -> None:
        """Listen no longer."""
        self._socket.close()

    def _gone(self) -> ContactLost:
        return ContactLost(
            machine=self._machine, problem="was unmounted, or sent more than was read"
        )


def _heard(action: str, path: str) -> Heard | None:
    match = _BLOCK.fullmatch(os.fspath(path))
    return None if match is None else Heard(action, int(match[1]))
