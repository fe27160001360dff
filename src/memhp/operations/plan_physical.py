"""Plans of the physical phase: devices are added and removed."""

from memhp.core.errors import CannotPlan
from memhp.core.geometry import NodeId
from memhp.core.plan import AddDevice, ExpectDevice, Plan, RemoveDevice, Step, mark_of
from memhp.core.request import Add, Remove
from memhp.core.snapshot import Snapshot, Want
from memhp.core.words import DeviceKind
from memhp.operations.resolve import device_meant

WANT = Want.DEVICES | Want.NODES | Want.BLOCKS


def plan_add(request: Add, snapshot: Snapshot) -> Plan:
    """Plan to hot-add a waiting device, or a new one; raises ``NoSuchObject``, ``CannotPlan``."""
    if request.device is not None:
        return _plan_add_waiting(request, request.device, snapshot)
    if request.size_bytes is None:
        raise CannotPlan(
            request=str(request), problem="neither size nor device", advice="name one of them"
        )
    node = request.node if request.node is not None else NodeId(0)
    names = {device.name for device in snapshot.devices}
    name = next(f"dimm{n}" for n in range(len(names) + 1) if f"dimm{n}" not in names)
    step = Step(
        machine=snapshot.machine,
        action=AddDevice(device=name, size_bytes=request.size_bytes, node=node),
    )
    return _plan(request, snapshot, step)


def plan_remove(request: Remove, snapshot: Snapshot) -> Plan:
    """Plan to ask for a device's eject; raises ``NoSuchObject`` or ``CannotPlan``."""
    device = device_meant(request.device, snapshot)
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
            advice="see 'memhp ls' for what the machine has",
        )
    step = Step(
        machine=snapshot.machine,
        action=RemoveDevice(device=device.name),
        expect=ExpectDevice(device=device.name, present=True),
    )
    return _plan(request, snapshot, step)


def _plan_add_waiting(request: Add, name: str, snapshot: Snapshot) -> Plan:
    device = device_meant(name, snapshot)
    if device.present:
        raise CannotPlan(
            request=str(request),
            problem=f"{name} is plugged in already",
            advice="remove it first, or add another",
        )
    step = Step(
        machine=snapshot.machine,
        action=AddDevice(device=name),
        expect=ExpectDevice(device=name, present=False),
    )
    return _plan(request, snapshot, step)


def _plan(request: Add | Remove, snapshot: Snapshot, step: Step) -> Plan:
    touched = [device for device in snapshot.devices if device.name == step.action.device]  # type: ignore[union-attr]
    mark = mark_of(snapshot.identity, touched)
    return Plan(request=request, marks={snapshot.machine: mark}, steps=(step,))
