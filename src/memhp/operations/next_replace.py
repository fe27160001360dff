"""What comes next where a device is to be replaced: out, in, and every block as it was.

Or in and then out, where the new one is to come first: what lies in the old one
can then move to the new one. Where a person puts it in, there is a wait between,
which may take days: the journal holds it.
"""

from memhp.core.errors import CannotPlan
from memhp.core.plan import AwaitDevice, RemoveDevice, Step, plan_of
from memhp.core.request import Replace
from memhp.core.snapshot import Device, MemoryBlock, Snapshot
from memhp.core.targets import format_size
from memhp.core.words import BlockState
from memhp.operations.ahead import Ahead, ahead
from memhp.operations.come_in_place import come_in_place_of
from memhp.operations.make_steps import await_step, put_in_step
from memhp.operations.next_add import added_device
from memhp.operations.operation import Key, Operation, refused_in
from memhp.operations.plan_physical import (
    check_slot,
    device_to_replace,
    new_dimm_step,
    plan_remove,
    take_out_steps,
)
from memhp.operations.plan_zones import blocks_of_device, like_steps


def go_on(
    operation: Operation, request: Replace, snapshot: Snapshot, *, late: bool
) -> Ahead | None:
    """The next step of the exchange; once the old one is out, the deadline counts no more.

    Raises what planners raise, on the first leg alone.
    """
    went_well = all(leg.went_well for leg in list(operation.forward())[-1:])
    old, new = removed_device(operation), new_device(operation, snapshot)
    if old is None:
        return None if late or not went_well else _out(operation, request, snapshot)
    if new is None:
        if not went_well:
            return None
        was = _was(operation, snapshot, old)
        put_in = await_step if request.by_hand else put_in_step
        steps = tuple(put_in(snapshot, device) for device in (was,) if device is not None)
        return ahead(plan_of(request, snapshot, steps), to_the_end=True)
    steps = _unlike(operation, snapshot, refused_in(operation.legs), old)
    return ahead(plan_of(request, snapshot, steps), to_the_end=True)


def is_complete(operation: Operation, snapshot: Snapshot) -> bool:
    """Whether the new one is in, the old one out, and every block as it was."""
    old = removed_device(operation)
    if old is None or new_device(operation, snapshot) is None:
        return False
    return not _unlike(operation, snapshot, frozenset(), old)


def removed_device(operation: Operation) -> str | None:
    """The name of the device that was taken out."""
    for step in operation.done_steps():
        if isinstance(step.action, RemoveDevice):
            return step.action.device
    return None


def new_device(operation: Operation, snapshot: Snapshot) -> str | None:
    """The name of the device that was added, or that a person has put in."""
    for step in operation.done_steps():
        if isinstance(step.action, AwaitDevice):
            come = come_in_place_of(step.action, snapshot.devices)
            return None if come is None else come.name
    return added_device(operation)


def account(operation: Operation) -> str:
    """What is to be done by hand now, and how to go on then; empty where nothing is."""
    step = operation.unanswered()
    if step is None or not isinstance(step.action, AwaitDevice):
        return ""
    return (
        f"{step.action.device} is out: put the new device in its place, and then go on with "
        "'memhp resume'"
    )


def _out(operation: Operation, request: Replace, snapshot: Snapshot) -> Ahead | None:
    """The old one goes, after the new one has come and is online, where that was asked for."""
    old = device_to_replace(request, snapshot)
    if not request.add_first:
        _check_rest(request, snapshot, old)
    elif added_device(operation) is None:
        take_out_steps(request, snapshot, old)
        check_slot(request, snapshot, old.size_bytes)
        _check_host(request, snapshot, old)
        step = new_dimm_step(snapshot, old.size_bytes, old.node)
        return ahead(plan_of(request, snapshot, (step,)))
    elif steps := _unlike(operation, snapshot, refused_in(operation.legs), old.name):
        return ahead(plan_of(request, snapshot, steps))
    return ahead(plan_remove(request, snapshot, old))


def _unlike(
    operation: Operation, snapshot: Snapshot, stuck: frozenset[Key], old: str
) -> tuple[Step, ...]:
    """What brings the new one's blocks to the states and zones that the old one's had."""
    new = new_device(operation, snapshot)
    if new is None:
        return ()
    before = operation.before().get(snapshot.machine, ())
    was = [b for b in before if isinstance(b, MemoryBlock) and b.device == old]
    mine = blocks_of_device(snapshot, new)
    return tuple(like_steps(snapshot, was or blocks_of_device(snapshot, old), mine, stuck))


def _was(operation: Operation, snapshot: Snapshot, name: str) -> Device | None:
    for thing in operation.before().get(snapshot.machine, ()):
        if isinstance(thing, Device) and thing.name == name:
            return thing
    return None


def _check_rest(request: Replace, snapshot: Snapshot, old: Device) -> None:
    """Raise ``CannotPlan`` where what lies in the device certainly has no other place."""
    online = [
        block
        for block in blocks_of_device(snapshot, old.name)
        if block.state is not BlockState.OFFLINE
    ]
    size_bytes = len(online) * snapshot.block_size_bytes
    available = snapshot.room.available_bytes
    if available is not None and available < size_bytes:
        raise CannotPlan(
            request=str(request),
            problem=f"{format_size(size_bytes)} would go, and what is in use needs "
            f"{format_size(size_bytes - available)} of that",
            advice="add the new device first, with --add-first, or stop something",
        )


def _check_host(request: Replace, snapshot: Snapshot, old: Device) -> None:
    host = snapshot.host
    if host is not None and host.free_bytes < old.size_bytes:
        raise CannotPlan(
            request=str(request),
            problem=f"the host has {format_size(max(0, host.free_bytes))} left to give, and for a "
            f"while {format_size(old.size_bytes)} more are needed",
            advice="leave out --add-first",
        )
