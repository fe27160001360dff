"""Single steps, each with what it expects of its target as a snapshot shows it."""

from memhp.core.plan import (
    AddDevice,
    AwaitDevice,
    ExpectBlock,
    ExpectDevice,
    ExpectHugePages,
    HoldHugePages,
    OfflineBlock,
    OnlineBlock,
    RemoveDevice,
    ResizeDevice,
    Step,
)
from memhp.core.snapshot import Device, MemoryBlock, Snapshot
from memhp.core.surroundings import HugePool
from memhp.core.words import OnlineType, ZoneType


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
    anew = AddDevice(
        device=device.name,
        size_bytes=device.size_bytes,
        node=device.node,
        address=device.ranges[0].start if device.ranges else None,
    )
    return Step(machine=snapshot.machine, action=anew)


def await_step(snapshot: Snapshot, device: Device) -> Step:
    """The step in which a person puts a device in the place of one that was taken out."""
    action = AwaitDevice(
        device=device.name,
        size_bytes=device.size_bytes,
        node=device.node,
        address=device.ranges[0].start if device.ranges else None,
        others=tuple(other.name for other in snapshot.devices if other.present and other.ranges),
    )
    return Step(machine=snapshot.machine, action=action)


def remove_step(snapshot: Snapshot, device: str) -> Step:
    """The step that ejects a device."""
    return Step(
        machine=snapshot.machine,
        action=RemoveDevice(device=device),
        expect=ExpectDevice(device=device, present=True),
    )


def resize_step(snapshot: Snapshot, device: Device, requested_bytes: int) -> Step:
    """The step that asks a virtio-mem device for a size in all."""
    return Step(
        machine=snapshot.machine,
        action=ResizeDevice(device=device.name, requested_bytes=requested_bytes),
        expect=ExpectDevice(
            device=device.name, present=True, requested_bytes=device.requested_bytes
        ),
    )


def hold_step(machine: str, pool: HugePool, count: int) -> Step:
    """The step that has a node hold so many huge pages, as its pool is now."""
    expect = ExpectHugePages(node=pool.node, size_bytes=pool.size_bytes, count=pool.held)
    action = HoldHugePages(node=pool.node, size_bytes=pool.size_bytes, count=count)
    return Step(machine=machine, action=action, expect=expect)
