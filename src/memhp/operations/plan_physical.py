"""Plans of the physical phase: devices are added, removed and resized."""

from memhp.core.errors import CannotPlan, NoSuchObject
from memhp.core.geometry import NodeId
from memhp.core.plan import AddDevice, Plan, Step, plan_of
from memhp.core.request import Add, Move, Remove, Replace, Request, Resize
from memhp.core.snapshot import Device, MemoryBlock, Snapshot, Want
from memhp.core.targets import format_size
from memhp.core.words import BlockState, DeviceKind
from memhp.operations.make_steps import offline_step, put_in_step, remove_step, resize_step
from memhp.operations.plan_zones import blocks_of_device
from memhp.operations.resolve import device_meant

WANT = Want.DEVICES | Want.NODES | Want.BLOCKS


def plan_add(request: Add, snapshot: Snapshot) -> Plan:
    """Plan to hot-add a waiting device, or a new one; raises ``NoSuchObject``, ``CannotPlan``."""
    if request.device is not None:
        return _plan_put_in(request, request.device, snapshot)
    if request.size_bytes is None:
        raise CannotPlan(
            request=str(request), problem="neither size nor device", advice="name one of them"
        )
    node = request.node if request.node is not None else NodeId(0)
    return plan_of(request, snapshot, (new_dimm_step(snapshot, request.size_bytes, node),))


def plan_remove(request: Remove | Replace, snapshot: Snapshot, device: Device) -> Plan:
    """Plan to take a device's blocks offline and eject it; raises ``CannotPlan``."""
    return plan_of(request, snapshot, take_out_steps(request, snapshot, device))


def take_out_steps(
    request: Remove | Replace | Move, snapshot: Snapshot, device: Device
) -> tuple[Step, ...]:
    """The steps that empty a device and eject it; raises ``CannotPlan``.

    The blocks go one by one, each in a step of its own: the eject request
    would take them all, and where it fails bring them back by policy, perhaps
    in another zone.
    """
    _check_removable(request, device)
    mine = blocks_of_device(snapshot, device.name)
    stuck = next(filter(never_goes, mine), None)
    if stuck is not None:
        raise CannotPlan(
            request=str(request),
            problem=f"memory{stuck.block} lies in two zones or on two nodes",
            advice="Linux never takes such a block offline",
        )
    offline = tuple(
        offline_step(snapshot, block)
        for block in sorted(mine, key=lambda block: -block.block)
        if block.state is not BlockState.OFFLINE
    )
    return (*offline, remove_step(snapshot, device.name))


def plan_resize(request: Resize, snapshot: Snapshot) -> Plan:
    """Plan to ask a virtio-mem device for another size; raises ``NoSuchObject``, ``CannotPlan``.

    A change is counted from what was asked for last.
    """
    device = device_meant(request.device, snapshot)
    if device.kind is not DeviceKind.VIRTIO_MEM or device.requested_bytes is None:
        raise CannotPlan(
            request=str(request),
            problem=f"{device.name} is a {device.kind} device, whose size nobody can choose here",
            advice="take its blocks offline, or remove it",
        )
    wanted = request.size_bytes
    if wanted is None:
        wanted = device.requested_bytes + (request.by_bytes or 0)
    _check_size(request, device, wanted)
    if wanted == device.requested_bytes == device.plugged_bytes:
        return plan_of(request, snapshot, ())
    return plan_of(request, snapshot, (resize_step(snapshot, device, wanted),))


def new_dimm_step(
    snapshot: Snapshot, size_bytes: int, node: NodeId | None, address: int | None = None
) -> Step:
    """The step that adds a DIMM under the first name that is free."""
    names = {device.name for device in snapshot.devices}
    name = next(f"dimm{n}" for n in range(len(names) + 1) if f"dimm{n}" not in names)
    action = AddDevice(device=name, size_bytes=size_bytes, node=node, address=address)
    return Step(machine=snapshot.machine, action=action)


def device_to_replace(request: Replace, snapshot: Snapshot) -> Device:
    """The device that is named, or has the address or block; raises ``NoSuchObject``."""
    if request.device is not None:
        return device_meant(request.device, snapshot)
    number = request.block
    if request.address is not None:
        for device in snapshot.devices:
            if any(request.address in part for part in device.ranges):
                return device
    block = next((b for b in snapshot.blocks if b.block == number), None)
    if block is not None and block.device is not None:
        return device_meant(block.device, snapshot)
    what = f"{request.address:#x}" if request.address is not None else f"memory{number}"
    raise NoSuchObject(
        machine=snapshot.machine,
        name=f"device with {what}",
        advice="memory that is no device's cannot be taken out",
    )


def check_slot(request: Request, snapshot: Snapshot, size_bytes: int) -> None:
    """Raise ``CannotPlan`` where one more DIMM certainly does not fit."""
    room = snapshot.room
    if room.free_slots == 0:
        problem = f"no DIMM slot of '{snapshot.machine}' is free"
    elif room.free_bytes is not None and room.free_bytes < size_bytes:
        problem = (
            f"'{snapshot.machine}' has addresses for {format_size(room.free_bytes)} more, "
            f"and a DIMM of {format_size(size_bytes)} has to go there"
        )
    else:
        return
    raise CannotPlan(request=str(request), problem=problem, advice="see what it has with 'memhp'")


def never_goes(block: MemoryBlock) -> bool:
    """Whether Linux would refuse to take a block offline before it looks at its pages."""
    return block.state is not BlockState.OFFLINE and not block.can_be_tried


def _check_size(request: Resize, device: Device, wanted: int) -> None:
    unit = device.unit_bytes or 1
    if not 0 <= wanted <= device.size_bytes:
        had = format_size(device.requested_bytes or 0)
        problem = f"it would be asked for {'less than nothing' if wanted < 0 else 'too much'}"
        advice = f"it gives {format_size(device.size_bytes)} at most, and {had} are asked for now"
    elif wanted % unit:
        problem = f"{format_size(wanted)} is no multiple of {format_size(unit)}"
        advice = f"{device.name} gives memory in that unit"
    else:
        return
    raise CannotPlan(request=str(request), problem=problem, advice=advice)


def _plan_put_in(request: Add, name: str, snapshot: Snapshot) -> Plan:
    device = device_meant(name, snapshot)
    if device.present:
        raise CannotPlan(
            request=str(request),
            problem=f"{name} is plugged in already",
            advice="remove it first, or add another",
        )
    return plan_of(request, snapshot, (put_in_step(snapshot, device),))


def _check_removable(request: Request, device: Device) -> None:
    if device.kind is DeviceKind.VIRTIO_MEM:
        raise CannotPlan(
            request=str(request),
            problem=f"{device.name} is a {device.kind} device",
            advice=f"take its memory back with 'memhp resize {device.name} 0'",
        )
    if device.kind not in {DeviceKind.DIMM, DeviceKind.DAX}:
        raise CannotPlan(
            request=str(request),
            problem=f"{device.name} is a {device.kind} device",
            advice="take its blocks offline instead",
        )
    if not device.present:
        raise CannotPlan(
            request=str(request),
            problem=f"{device.name} is not plugged in"
            if device.kind is DeviceKind.DIMM
            else f"{device.name} does not serve as memory",
            advice="'memhp' alone shows what the machine has",
        )
