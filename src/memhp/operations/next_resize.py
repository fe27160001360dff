"""What comes next where a virtio-mem device is to have another size.

The guest decides how much of it happens. What it does not do before the
deadline is withdrawn in the end, so that nothing changes once memhp has said
how much it was.
"""

from memhp.core.outcome import Done
from memhp.core.plan import OnlineBlock, ResizeDevice, plan_of
from memhp.core.request import Resize
from memhp.core.snapshot import Device, MemoryBlock, Snapshot
from memhp.core.targets import format_size
from memhp.operations.ahead import Ahead, ahead
from memhp.operations.make_steps import resize_step
from memhp.operations.operation import Operation, refused_in
from memhp.operations.plan_physical import plan_resize
from memhp.operations.plan_zones import blocks_of_device, in_zone, zone_steps
from memhp.operations.resolve import device_meant

MOST_TRIES = 3
"""How often a device is asked to stay as it is, while its guest goes on changing it."""


def go_on(operation: Operation, request: Resize, snapshot: Snapshot, *, late: bool) -> Ahead | None:
    """Ask; bring online what came; ask again where that lets it go on; withdraw the rest.

    Raises what ``plan_resize()`` raises, on the first leg alone.
    """
    if not operation.legs:
        return None if late else ahead(plan_resize(request, snapshot))
    device = device_meant(request.device, snapshot)
    if not late and not is_complete(operation, request, snapshot):
        steps = tuple(
            zone_steps(snapshot, came(operation, snapshot), request.zone, _stuck(operation))
            if request.zone is not None
            else ()
        )
        wanted = wanted_bytes(operation)
        if not steps and wanted is not None and goes_on(operation, snapshot.machine, device):
            steps = (resize_step(snapshot, device, wanted),)
        if steps:
            return ahead(plan_of(request, snapshot, steps))
    if operation.conditions.all_or_nothing and not is_complete(operation, request, snapshot):
        return None
    return _withdraw(operation, request, snapshot, device)


def is_complete(operation: Operation, request: Resize, snapshot: Snapshot) -> bool:
    """Whether the guest has what was asked for, or enough of the change, where it was to be."""
    device = device_meant(request.device, snapshot)
    if not operation.legs:
        return not plan_resize(request, snapshot).steps
    zone = request.zone
    if zone is not None and not all(in_zone(b, zone) for b in came(operation, snapshot)):
        return False
    enough = operation.conditions.at_least_bytes
    if enough is not None and abs(changed_bytes(operation, snapshot)) >= enough:
        return True
    return device.plugged_bytes == wanted_bytes(operation)


def changed_bytes(operation: Operation, snapshot: Snapshot) -> int:
    """How much more the guest has than before, or less."""
    was = _was(operation, snapshot.machine)
    if was is None:
        return 0
    now = device_meant(was.name, snapshot)
    return (now.plugged_bytes or 0) - (was.plugged_bytes or 0)


def account(operation: Operation, request: Resize, snapshot: Snapshot) -> str:
    """What came of it, in words."""
    now = device_meant(request.device, snapshot).plugged_bytes or 0
    by = changed_bytes(operation, snapshot)
    if by == 0:
        return f"{request.device} has {format_size(now)}, as before"
    more = "more" if by > 0 else "less"
    return f"{request.device} has {format_size(now)}, {format_size(abs(by))} {more} than before"


def wanted_bytes(operation: Operation) -> int | None:
    """The size that was asked for in the first leg."""
    for step in operation.legs[0].plan.steps:
        if isinstance(step.action, ResizeDevice):
            return step.action.requested_bytes
    return None


def came(operation: Operation, snapshot: Snapshot) -> tuple[MemoryBlock, ...]:
    """The device's blocks that were not there before."""
    was = _was(operation, snapshot.machine)
    if was is None:
        return ()
    before = operation.before()[snapshot.machine]
    known = {thing.block for thing in before if isinstance(thing, MemoryBlock)}
    return tuple(b for b in blocks_of_device(snapshot, was.name) if b.block not in known)


def goes_on(operation: Operation, machine: str, device: Device) -> bool:
    """Whether asking again may help: blocks came online since the device was asked last."""
    if device.plugged_bytes == device.requested_bytes:
        return False
    for leg in reversed(operation.legs):
        mine = [(s, out) for s, out in leg.results() if s.machine == machine]
        for step, outcome in reversed(mine):
            if isinstance(step.action, ResizeDevice) and step.action.device == device.name:
                return False
            if isinstance(step.action, OnlineBlock) and isinstance(outcome, Done):
                return True
    return False


def tries(operation: Operation, machine: str, device: str) -> int:
    """How often a device was asked for a size and did not come to have it."""
    return sum(
        step.machine == machine
        and isinstance(step.action, ResizeDevice)
        and step.action.device == device
        for step in operation.refused_steps()
    )


def _withdraw(
    operation: Operation, request: Resize, snapshot: Snapshot, device: Device
) -> Ahead | None:
    """Let the device stay as it is."""
    plugged = device.plugged_bytes
    if plugged is None or plugged == device.requested_bytes:
        return None
    if tries(operation, snapshot.machine, device.name) > MOST_TRIES:
        return None
    plan = plan_of(request, snapshot, (resize_step(snapshot, device, plugged),))
    return ahead(plan, to_the_end=True)


def _stuck(operation: Operation) -> frozenset[tuple[str, str]]:
    return refused_in(operation.legs)


def _was(operation: Operation, machine: str) -> Device | None:
    for thing in operation.before().get(machine, ()):
        if isinstance(thing, Device):
            return thing
    return None
