"""QEMU's monitor for those who are not asynchronous: an open conversation, one call at a time."""

import asyncio
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from memhp.machines.qemu.connection import Connection, connect_monitor
from memhp.machines.qemu.devices import (
    Account,
    MemoryDevice,
    read_account,
    read_device,
    read_devices,
)
from memhp.machines.qemu.physical import Wanted, plug, plugged_size, request_size, unplug
from memhp.machines.qemu.words import Answer

T = TypeVar("T")


class Monitor:
    """The physical phase of one guest, in the raw: who asks judges the answers."""

    def __init__(self, runner: asyncio.Runner, connection: Connection) -> None:
        self._runner = runner
        self._connection = connection

    def memory_devices(self, kind: str) -> Sequence[MemoryDevice]:
        """QEMU's devices of a kind: ``dimm`` or ``virtio-mem``."""
        return [d for d in self._run(read_devices(self._connection)) if d.kind == kind]

    def address_of(self, name: str) -> int:
        """Where a device lies."""
        device = self._run(read_device(self._connection, name))
        if device is None:
            raise self._connection.strange(f"nothing of {name}, which it has taken")
        return device.start

    def plug(self, wanted: Wanted, until: float | None = None) -> Answer:
        """Hot-add a DIMM and take the guest's answer."""
        return self._run(plug(self._connection, wanted, until))

    def unplug(self, name: str, until: float | None = None) -> Answer:
        """Ask for a DIMM's eject, and free its backend once it is gone."""
        return self._run(unplug(self._connection, name, until))

    def request_size(self, name: str, size_bytes: int) -> str | None:
        """Ask a virtio-mem device for another size; returns QEMU's error, if any."""
        return self._run(request_size(self._connection, name, size_bytes))

    def plugged_size(self, name: str) -> int:
        """What a virtio-mem device's guest has plugged, in bytes."""
        return self._run(plugged_size(self._connection, name))

    def account(self) -> Account:
        """All that QEMU says of the guest's memory."""
        return self._run(read_account(self._connection))

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)


@contextmanager
def open_monitor(path: str, machine: str) -> Iterator[Monitor]:
    """Talk to the monitor at a path; raises what ``connect_monitor()`` does."""
    with asyncio.Runner() as runner:
        opened = connect_monitor(path, machine)
        connection = runner.run(opened.__aenter__())
        try:
            yield Monitor(runner, connection)
        finally:
            runner.run(opened.__aexit__(None, None, None))
