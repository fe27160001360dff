"""Plans of the way back: everything touched as it was, in the zone that it had.

One plan may not be enough (a device has to be there before its blocks can come
online, and a block has to go offline before it can change its zone): plan
again from a fresh snapshot until nothing is left to do.
"""

from collections.abc import Iterable, Iterator, Mapping

from memhp.core.geometry import BlockId
from memhp.core.plan import (
    AddDevice,
    ExpectBlock,
    ExpectDevice,
    OfflineBlock,
    OnlineBlock,
    Plan,
    RemoveDevice,
    Step,
    plan_of,
)
from memhp.core.request import Request
from memhp.core.snapshot import Device, MemoryBlock, Snapshot
from memhp.core.words import BlockState, OnlineType, ZoneType
from memhp.operations.operation import Thing, key_of


def plan_restore(
    request: Request,
    before: Iterable[Thing],
    snapshot: Snapshot,
    *,
    without: frozenset[str] = frozenset(),
) -> Plan:
    """Plan the next leg of the way back; a plan without steps where all is as it was.

    ``without`` names blocks and devices that refused: the others go on. In
    order: what was not there goes, what was there comes, blocks in another zone
    go offline, blocks come online in the zone that they had.
    """
    things = tuple(thing for thing in before if key_of(thing) not in without)
    devices = {device.name: device for device in snapshot.devices}
    was = {thing.block: thing for thing in things if isinstance(thing, MemoryBlock)}
    leave = [t for t in things if isinstance(t, Device) and not t.present and _there(devices, t)]
    leaving = {device.name for device in leave}
    now = {block.block: block for block in snapshot.blocks}
    steps = (
        *_blocks_of(leaving, snapshot),
        *(_remove(snapshot, device) for device in leave),
        *_add_missing(snapshot, things, devices),
        *_offline(snapshot, was, now, leaving),
        *_online(snapshot, was, now),
    )
    return plan_of(request, snapshot, steps)


def zone_word(zone: ZoneType | None) -> OnlineType:
    """The word that brings a block online in a zone again."""
    if zone is None:
        return OnlineType.ONLINE
    return OnlineType.ONLINE_KERNEL if zone.holds_kernel_memory else OnlineType.ONLINE_MOVABLE


def offline_step(snapshot: Snapshot, block: MemoryBlock) -> Step:
    """The step that takes a block offline as it stands."""
    return Step(
        machine=snapshot.machine,
        action=OfflineBlock(block=block.block),
        expect=ExpectBlock(block=block.block, state=block.state, zone=block.zone),
    )


def online_step(snapshot: Snapshot, block: MemoryBlock, online_type: OnlineType) -> Step:
    """The step that brings an offline block online."""
    return Step(
        machine=snapshot.machine,
        action=OnlineBlock(block=block.block, online_type=online_type),
        expect=ExpectBlock(block=block.block, state=block.state, zone=block.zone),
    )


def put_in_step(snapshot: Snapshot, device: Device) -> Step:
    """The step that adds a device again: from its slot, or anew where nothing is left of it."""
    if any(other.name == device.name for other in snapshot.devices):
        action = AddDevice(device=device.name)
        expect = ExpectDevice(device=device.name, present=False)
        return Step(machine=snapshot.machine, action=action, expect=expect)
    anew = AddDevice(device=device.name, size_bytes=device.size_bytes, node=device.node)
    return Step(machine=snapshot.machine, action=anew)


def _there(devices: Mapping[str, Device], device: Device) -> bool:
    found = devices.get(device.name)
    return found is not None and found.present


def _blocks_of(leaving: set[str], snapshot: Snapshot) -> Iterator[Step]:
    for block in sorted(snapshot.blocks, key=lambda block: -block.block):
        if block.device in leaving and block.state is not BlockState.OFFLINE:
            yield offline_step(snapshot, block)


def _remove(snapshot: Snapshot, device: Device) -> Step:
    return Step(
        machine=snapshot.machine,
        action=RemoveDevice(device=device.name),
        expect=ExpectDevice(device=device.name, present=True),
    )


def _add_missing(
    snapshot: Snapshot, things: Iterable[Thing], devices: Mapping[str, Device]
) -> Iterator[Step]:
    for thing in things:
        if isinstance(thing, Device) and thing.present and not _there(devices, thing):
            yield put_in_step(snapshot, thing)


def _offline(
    snapshot: Snapshot,
    was: Mapping[BlockId, MemoryBlock],
    now: Mapping[BlockId, MemoryBlock],
    leaving: set[str],
) -> Iterator[Step]:
    for number in sorted(was, reverse=True):
        block = now.get(number)
        if block is None or block.state is BlockState.OFFLINE or block.device in leaving:
            continue
        if was[number].state is BlockState.OFFLINE or block.zone is not was[number].zone:
            yield offline_step(snapshot, block)


def _online(
    snapshot: Snapshot, was: Mapping[BlockId, MemoryBlock], now: Mapping[BlockId, MemoryBlock]
) -> Iterator[Step]:
    for number in sorted(was):
        block = now.get(number)
        if block is None or block.state is not BlockState.OFFLINE:
            continue
        if was[number].state is not BlockState.OFFLINE:
            yield online_step(snapshot, block, zone_word(was[number].zone))
