"""One reading of a guest: QEMU's account, joined by address with what the guest itself shows."""

import asyncio
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeVar

from memhp.core.geometry import SECTION_SIZE_BYTES, BlockId, NodeId
from memhp.core.ranges import PhysRange, runs_of
from memhp.core.snapshot import Device, MemoryBlock, Room, Snapshot, Want
from memhp.core.words import BlockState, DeviceKind
from memhp.machines.linux.meminfo import read_available
from memhp.machines.linux.root import Root
from memhp.machines.linux.take_snapshot import take_snapshot
from memhp.machines.qemu.agent import Agent
from memhp.machines.qemu.devices import Account, Backend, MemoryDevice, backend_name
from memhp.machines.qemu.guest_tree import fetch, plant, script_for
from memhp.machines.qemu.owner import Emulator

T = TypeVar("T")
_KINDS: Final = {"dimm": DeviceKind.DIMM, "virtio-mem": DeviceKind.VIRTIO_MEM}
_OF_GUEST: Final = Want.BLOCKS | Want.ZONES | Want.NODES | Want.IOMEM | Want.POLICY
_ON_THE_WAY_SECONDS: Final = 60.0
_PAUSE_SECONDS: Final = 0.25
_RAM: Final = "/dev/shm"  # noqa: S108 - a new folder in it, by tempfile
_BACKEND: Final = re.compile(r"(?:memdev|memory-backend)=([^,]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """Under which name and identity a snapshot is taken."""

    machine: str
    identity: str
    want: Want


async def read_guest(agent: Agent | None, named: Named) -> tuple[Snapshot, int | None]:
    """What the guest itself shows, and its ``MemAvailable``; empty where no agent tells.

    A block that is on its way offline is waited for: somebody's write that goes
    on after he is gone comes to an end, too.
    """
    nothing = Snapshot(
        machine=named.machine,
        identity=named.identity,
        want=named.want,
        block_size_bytes=SECTION_SIZE_BYTES,
    )
    if agent is None:
        return nothing, None
    if not agent.can_run and not agent.can_read:
        return await _by_blocks(agent, nothing), None
    end = time.monotonic() + _ON_THE_WAY_SECONDS
    while True:
        found = await with_tree(
            agent, named.machine, lambda root: of_guest(root, named), named.want
        )
        moving = any(b.state is BlockState.GOING_OFFLINE for b in found[0].blocks)
        if not moving or time.monotonic() >= end:
            return found
        await asyncio.sleep(_PAUSE_SECONDS)


async def with_tree(
    agent: Agent,
    machine: str,
    read: Callable[[Root], T],
    want: Want = Want.BLOCKS,
    *,
    removable: bool = False,
) -> T:
    """Bring the guest's files to this host for as long as they are read."""
    with tempfile.TemporaryDirectory(dir=_ram()) as folder:
        if agent.can_run:
            ran = await agent.run(["-c", script_for(want, removable=removable)])
            plant(ran.text, Path(folder), machine)
        else:
            await fetch(agent, Path(folder), want)
        return read(Root(folder, machine))


def _ram() -> str | None:
    """A folder in memory, where there is one: the tree is gone a moment later."""
    return _RAM if os.access(_RAM, os.W_OK | os.X_OK) else None


def of_guest(root: Root, named: Named) -> tuple[Snapshot, int | None]:
    """What a tree of the guest's files tells, and its ``MemAvailable``."""
    want = named.want & _OF_GUEST | Want.BLOCKS
    taken = take_snapshot(root, name=named.machine, identity=named.identity, want=want)
    return replace(taken, want=named.want), read_available(root)


def joined(
    guest: Snapshot,
    available_bytes: int | None,
    account: Account,
    process: Emulator | None,
) -> Snapshot:
    """Put QEMU's account and the guest's own together. Pure."""
    numbers = [block.block for block in guest.blocks]
    size = guest.block_size_bytes
    known = bool(numbers)
    devices = [
        _device(device, account, list(_ranges(device, numbers, size)) if known else None)
        for device in account.devices
        if device.kind in _KINDS
    ]
    owners = {
        number: device.name
        for device in account.devices
        for number in _numbers_in(device, numbers, size)
    }
    want = guest.want
    left = account.left_over(_named_at_start(process)) if process is not None else ()
    # Blocks are always read, for they tell which addresses the guest has taken.
    blocks = tuple(replace(b, device=owners.get(b.block)) for b in guest.blocks)
    return replace(
        guest,
        blocks=blocks if Want.BLOCKS in want else (),
        devices=(*devices, *map(_waiting, left)) if Want.DEVICES in want else (),
        room=_room(account, available_bytes) if Want.ROOM in want else Room(),
    )


async def _by_blocks(agent: Agent, nothing: Snapshot) -> Snapshot:
    """What the agent's own list tells: no zones, no nodes."""
    if not agent.can_list:
        return nothing
    found = await agent.blocks()
    blocks = tuple(
        MemoryBlock(
            block=BlockId(number),
            state=BlockState.ONLINE if found[number] else BlockState.OFFLINE,
            zone=None,
            nodes=(),
            valid_zones=(),
        )
        for number in sorted(found)
    )
    return replace(nothing, block_size_bytes=await agent.block_size(), blocks=blocks)


def _device(device: MemoryDevice, account: Account, ranges: Sequence[PhysRange] | None) -> Device:
    """A device as others know it; without the guest's word its addresses are QEMU's."""
    whole = PhysRange.at(device.start, device.size_bytes)
    virtio = device.kind == "virtio-mem"
    if ranges is None:
        ranges = () if virtio else (whole,)
    return Device(
        name=device.name,
        kind=_KINDS[device.kind],
        size_bytes=device.size_bytes,
        node=NodeId(device.node),
        present=True,
        ranges=tuple(ranges),
        requested_bytes=device.requested_bytes,
        plugged_bytes=device.plugged_bytes,
        unit_bytes=device.unit_bytes,
        pending=None if virtio else device.is_pending(account.asked.get(device.name)),
        verdict=device.verdict_words,
    )


def _waiting(backend: Backend) -> Device:
    """Memory of the host that lies there without a device: what a kill or a late answer left."""
    return Device(
        name=backend.name.removesuffix(backend_name("")),
        kind=DeviceKind.DIMM,
        size_bytes=backend.size_bytes,
        node=None,
        present=False,
    )


def _named_at_start(process: Emulator) -> set[str]:
    """The backends that QEMU was told at its start to use otherwise than in a memory device."""
    devices = {"pc-dimm", "nvdimm", "virtio-mem-pci"}
    words = [w for w in process.arguments if w.partition(",")[0] not in devices]
    return {name for word in words for name in _BACKEND.findall(word)}


def _room(account: Account, available_bytes: int | None) -> Room:
    taken = account.base_bytes + sum(device.size_bytes for device in account.devices)
    return Room(
        slots=account.slots,
        free_slots=account.free_slots,
        free_bytes=max(0, account.most_bytes - taken),
        available_bytes=available_bytes,
    )


def _ranges(device: MemoryDevice, numbers: Iterable[int], size: int) -> Iterator[PhysRange]:
    """The blocks that the guest made of a device; none where it rejected the memory."""
    for first, last in runs_of(_numbers_in(device, numbers, size)):
        yield PhysRange(start=first * size, end=(last + 1) * size)


def _numbers_in(device: MemoryDevice, numbers: Iterable[int], size: int) -> list[int]:
    first, end = device.start, device.start + device.size_bytes
    return [number for number in numbers if first <= number * size and (number + 1) * size <= end]
