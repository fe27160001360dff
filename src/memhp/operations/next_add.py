"""What comes next where a device is to be added, and its blocks brought online."""

from memhp.core.plan import AddDevice, plan_of
from memhp.core.request import Add
from memhp.core.snapshot import Snapshot
from memhp.operations.ahead import Ahead, ahead
from memhp.operations.operation import Operation, refused_in
from memhp.operations.plan_physical import plan_add
from memhp.operations.plan_zones import blocks_of_device, in_zone, zone_steps


def go_on(operation: Operation, request: Add, snapshot: Snapshot) -> Ahead | None:
    """The device, then its blocks; raises what ``plan_add()`` raises."""
    if not operation.legs:
        return ahead(plan_add(request, snapshot))
    device = added_device(operation)
    if device is None or request.zone is None:
        return None
    stuck = refused_in(operation.legs)
    mine = blocks_of_device(snapshot, device)
    return ahead(plan_of(request, snapshot, tuple(zone_steps(snapshot, mine, request.zone, stuck))))


def is_complete(operation: Operation, request: Add, snapshot: Snapshot) -> bool:
    """Whether the device is there, and its blocks where they were to be."""
    device = added_device(operation)
    if device is None:
        return False
    zone = request.zone
    return zone is None or all(in_zone(b, zone) for b in blocks_of_device(snapshot, device))


def added_device(operation: Operation) -> str | None:
    """The name of the device that was added."""
    for step in operation.done_steps():
        if isinstance(step.action, AddDevice):
            return step.action.device
    return None
