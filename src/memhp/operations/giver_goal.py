"""How the giver of a move should stand: nothing half done, and what was too much given back."""

from collections.abc import Iterator
from dataclasses import replace

from memhp.core.geometry import round_down
from memhp.core.plan import AddDevice, Plan, ResizeDevice
from memhp.core.request import Move
from memhp.core.snapshot import Device, MemoryBlock, Snapshots
from memhp.core.words import DeviceKind
from memhp.operations.move_account import devices_before
from memhp.operations.next_resize import MOST_TRIES, tries
from memhp.operations.operation import Key, Operation, Thing, block_of, key_of_step, things_of
from memhp.operations.plan_restore import plan_restore


def plan_giver(
    operation: Operation, request: Move, snapshots: Snapshots, over_bytes: int = 0
) -> Plan:
    """Plan what leads there.

    A DIMM that stayed gets its blocks back; a virtio-mem device is asked for
    what it has. Of ``over_bytes``, virtio-mem devices get what they gave, and
    DIMMs that it suffices for come back.
    """
    devices = tuple(_devices(operation, request, snapshots, over_bytes))
    names = {device.name for device in devices}
    before = operation.before().get(request.giver, ())
    blocks = tuple(t for t in before if isinstance(t, MemoryBlock) and t.device in names)
    things: tuple[Thing, ...] = (*devices, *blocks)
    goal = {request.giver: things}
    stuck = frozenset(_stuck(operation, request.giver))
    return plan_restore(request, goal, snapshots, without=stuck)


def _devices(
    operation: Operation, request: Move, snapshots: Snapshots, over_bytes: int
) -> Iterator[Device]:
    """Each device that is to be there, as it is to be."""
    now = things_of(snapshots[request.giver])
    for was in devices_before(operation, request.giver):
        there = now.get(was.name)
        if was.kind is DeviceKind.VIRTIO_MEM:
            if isinstance(there, Device):
                back = _share(was, there, over_bytes)
                over_bytes -= back
                yield replace(was, requested_bytes=(there.plugged_bytes or 0) + back)
        elif _is_in(there):
            yield was
        elif was.size_bytes <= over_bytes:
            over_bytes -= was.size_bytes
            yield was


def _share(was: Device, now: Device, over_bytes: int) -> int:
    """How much of what is too much a virtio-mem device gets back: what it gave, at most."""
    gave = max(0, (was.plugged_bytes or 0) - (now.plugged_bytes or 0))
    return round_down(min(gave, over_bytes), now.unit_bytes or 1)


def _is_in(thing: Thing | None) -> bool:
    return isinstance(thing, Device) and thing.present


def _stuck(operation: Operation, giver: str) -> Iterator[Key]:
    """Blocks that refused, devices that did not come back, and those that never settle."""
    for step in operation.refused_steps():
        name = key_of_step(step)
        never_settles = (
            isinstance(step.action, ResizeDevice) and tries(operation, giver, name) > MOST_TRIES
        )
        if block_of(step) is not None or isinstance(step.action, AddDevice) or never_settles:
            yield step.machine, name
