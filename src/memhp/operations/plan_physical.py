"""Plans of the physical phase: devices are added and removed."""

from memhp.core.errors import CannotPlan
from memhp.core.geometry import NodeId
from memhp.core.plan import AddDevice, ExpectDevice, Plan, RemoveDevice, Step, plan_of
from memhp.core.request import Add, Remove, Replace
from memhp.core.snapshot import Device, Snapshot, Want
from memhp.core.words import BlockState, DeviceKind
from memhp.operations.plan_restore import offline_step, put_in_step
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
    names = {device.name for device in snapshot.devices}
    name = next(f"dimm{n}" for n in range(len(names) + 1) if f"dimm{n}" not in names)
    action = AddDevice(device=name, size_bytes=request.size_bytes, node=node)
    return plan_of(request, snapshot, (Step(machine=snapshot.machine, action=action),))


def plan_remove(request: Remove | Replace, snapshot: Snapshot) -> Plan:
    """Plan to take a device's blocks offline and eject it; raises ``NoSuchObject``, ``CannotPlan``.

    The blocks go one by one, each in a step of its own: the eject request
    would take them all, and where it fails bring them back by policy, perhaps
    in another zone.
    """
    device = _removable(request, device_meant(request.device or "", snapshot))
    mine = [block for block in snapshot.blocks if block.device == device.name]
    stuck = [b for b in mine if b.state is not BlockState.OFFLINE and not b.can_be_tried]
    if stuck:
        raise CannotPlan(
            request=str(request),
            problem=f"memory{stuck[0].block} lies in two zones or on two nodes",
            advice="Linux never takes such a block offline",
        )
    offline = tuple(
        offline_step(snapshot, block)
        for block in sorted(mine, key=lambda block: -block.block)
        if block.state is not BlockState.OFFLINE
    )
    eject = Step(
        machine=snapshot.machine,
        action=RemoveDevice(device=device.name),
        expect=ExpectDevice(device=device.name, present=True),
    )
    return plan_of(request, snapshot, (*offline, eject))


def _plan_put_in(request: Add, name: str, snapshot: Snapshot) -> Plan:
    device = device_meant(name, snapshot)
    if device.present:
        raise CannotPlan(
            request=str(request),
            problem=f"{name} is plugged in already",
            advice="remove it first, or add another",
        )
    return plan_of(request, snapshot, (put_in_step(snapshot, device),))


def _removable(request: Remove | Replace, device: Device) -> Device:
    if device.kind is not DeviceKind.DIMM:
        raise CannotPlan(
            request=str(request),
            problem=f"{device.name} is a {device.kind} device",
            advice="take its blocks offline instead",
        )
    if not device.present:
        raise CannotPlan(
            request=str(request),
            problem=f"{device.name} is not plugged in",
            advice="'memhp' alone shows what the machine has",
        )
    return device
