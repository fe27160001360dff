"""The physical phase: DIMMs come and go, virtio-mem devices change their size.

``device_del`` is only a request: the guest may refuse it, or never answer, and
QEMU takes it twice. The backend is deleted only once the device is gone.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from memhp.core.errors import CommandDenied
from memhp.machines.qemu.connection import Connection
from memhp.machines.qemu.devices import (
    MemoryDevice,
    backend_name,
    read_account,
    read_device,
    read_devices,
)
from memhp.machines.qemu.requests import NO_VERDICT, Asked, forget_request, note_request, note_sent
from memhp.machines.qemu.words import Answer, Event, ejection_answer, insertion_answer

PATIENCE_SECONDS: Final = 60.0
"""How long an answer is awaited where there is no deadline."""
_POLL_SECONDS: Final = 0.1
_STALL_SECONDS: Final = 15.0
"""A virtio-mem device that has not changed for so long changes no more by itself."""
_Reader = Callable[[Event, str], Answer | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A DIMM to add: where QEMU chooses the address, or at ``start``."""

    name: str
    size_bytes: int
    node: int = 0
    start: int | None = None


async def plug(monitor: Connection, wanted: Wanted, until: float | None) -> Answer:
    """Hot-add a DIMM and take the guest's answer."""
    backend = backend_name(wanted.name)
    await note_request(monitor, Asked(device=wanted.name, backend=backend, before=NO_VERDICT))
    try:
        return await _plug(monitor, wanted, backend, until)
    finally:
        await forget_request(monitor, wanted.name)


async def _plug(monitor: Connection, wanted: Wanted, backend: str, until: float | None) -> Answer:
    try:
        await _fresh_backend(monitor, backend, wanted.size_bytes)
    except CommandDenied as err:
        return Answer(error=err.answer)
    device = {"driver": "pc-dimm", "id": wanted.name, "memdev": backend, "node": wanted.node}
    if wanted.start is not None:
        device["addr"] = wanted.start
    monitor.forget_events()
    try:
        await monitor.ask("device_add", device)
    except CommandDenied as err:
        await free(monitor, backend)
        return Answer(error=err.answer)
    return await _answer(monitor, wanted.name, insertion_answer, until)


async def unplug(monitor: Connection, name: str, until: float | None) -> Answer:
    """Ask for a DIMM's eject, and free its backend once it is gone.

    A device that is gone already, since it was asked to go before, is done
    with: what it left is freed.
    """
    device = await read_device(monitor, name)
    if device is None:
        return await _finish(monitor, name)
    if not device.hotpluggable:
        return Answer(error=f"{name} is no device that QEMU can take out")
    asked = Asked(device=name, backend=device.backend, before=device.verdict)
    await note_request(monitor, asked)
    return await ask_to_go(monitor, device, until)


async def ask_to_go(monitor: Connection, device: MemoryDevice, until: float | None) -> Answer:
    """Ask, and take the answer; one that does not come stays noted."""
    name = device.name
    monitor.forget_events()
    try:
        await monitor.ask("device_del", {"id": name})
    except CommandDenied as err:
        await forget_request(monitor, name)
        return Answer(error=err.answer)
    await note_sent(monitor, name)
    answer = await _answer(monitor, name, ejection_answer, until)
    # The event may have gone to nobody: what counts is whether the device is there.
    if not answer.removed and await read_device(monitor, name) is None:
        answer = Answer(status=0, removed=True)
    if answer.removed:
        await free(monitor, device.backend)
    if answer != Answer():
        await forget_request(monitor, name)
    return answer


async def request_size(monitor: Connection, name: str, size_bytes: int) -> str | None:
    """Ask a virtio-mem device for another size; returns QEMU's error, if any."""
    path = f"/machine/peripheral/{name}"
    try:
        await monitor.ask(
            "qom-set", {"path": path, "property": "requested-size", "value": size_bytes}
        )
    except CommandDenied as err:
        return err.answer
    return None


async def plugged_size(monitor: Connection, name: str) -> int:
    """What a virtio-mem device's guest has plugged, in bytes."""
    path = f"/machine/peripheral/{name}"
    return await monitor.ask_for("qom-get", int, {"path": path, "property": "size"})


async def resize(
    monitor: Connection,
    device: MemoryDevice,
    size_bytes: int,
    until: float | None,
    tell: Callable[[int], None],
) -> int | str:
    """Ask for a size and wait for as long as the guest gets nearer; returns what it is then.

    A guest that shrinks may succeed later; it is waited for until the deadline,
    or without one until nothing has moved for a while. One that grows goes on
    only when what it has got is brought online. Returns QEMU's error as text.
    """
    error = await request_size(monitor, device.name, size_bytes)
    if error is not None:
        return error
    now = device.plugged_bytes or 0
    moved = time.monotonic()
    patient = size_bytes < now
    while now != size_bytes and not _over(until, moved, patient=patient):
        await asyncio.sleep(_POLL_SECONDS)
        before, now = now, await plugged_size(monitor, device.name)
        if now != before:
            moved = time.monotonic()
            tell(now)
    return now


def _over(until: float | None, moved: float, *, patient: bool) -> bool:
    """Whether trying ends: at the deadline, or when nothing moves any more."""
    stalled = time.monotonic() - moved >= _STALL_SECONDS
    if until is None:
        return stalled
    return time.monotonic() >= until or (stalled and not patient)


async def _fresh_backend(monitor: Connection, name: str, size_bytes: int) -> None:
    """Make the backend; what an addition or a removal left half-way of it goes first."""
    account = await read_account(monitor)
    if name in {backend.name for backend in account.left_over()}:
        await monitor.ask("object-del", {"id": name})
    memory = {"qom-type": "memory-backend-ram", "id": name, "reserve": False}
    await monitor.ask("object-add", memory | {"size": size_bytes})


async def _finish(monitor: Connection, name: str) -> Answer:
    """Free what a device left that has gone by itself, long after it was asked to."""
    account = await read_account(monitor)
    asked = account.asked.get(name)
    backend = backend_name(name) if asked is None else asked.backend
    if backend not in {backend.name for backend in account.left_over()}:
        return Answer(error=f"the guest has no device {name}")
    await free(monitor, backend)
    await forget_request(monitor, name)
    return Answer(status=0, removed=True)


async def free(monitor: Connection, backend: str) -> None:
    """Delete a backend that no device uses; QEMU itself keeps one that something else does."""
    if backend in {device.backend for device in await read_devices(monitor)}:
        return
    try:
        await monitor.ask("object-del", {"id": backend})
    except CommandDenied:
        return


async def _answer(monitor: Connection, name: str, read: _Reader, until: float | None) -> Answer:
    """The first event that answers; an empty answer where none does in time."""
    end = time.monotonic() + PATIENCE_SECONDS if until is None else until
    while (left := end - time.monotonic()) > 0:
        event = await monitor.next_event(left)
        if event is None:
            break
        answer = read(event, name)
        if answer is not None:
            return answer
    return Answer()
