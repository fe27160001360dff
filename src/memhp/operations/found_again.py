"""An operation of the journal held against machines as they are, before going on with it.

What was about to be asked for may have been done or not; what was asked for and
never answered may have been answered since. Both are read back, never assumed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from memhp.core.errors import JournalError
from memhp.core.events import StepEnded
from memhp.core.huge_pages import came_of_holding
from memhp.core.outcome import Done, Outcome, Partly, Refused, Unanswered
from memhp.core.plan import (
    AddDevice,
    AwaitDevice,
    CompactNode,
    DropCaches,
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
from memhp.core.snapshot import Device, MemoryBlock, Snapshots
from memhp.core.surroundings import HugePool
from memhp.core.words import BlockState, ExitCode
from memhp.operations.come_in_place import come_in_place_of
from memhp.operations.execute import Listener
from memhp.operations.journal_records import Story
from memhp.operations.operation import Leg, Operation, Thing, block_of, key_of_step, things_of
from memhp.operations.plan_zones import in_zone

Now = Mapping[str, Thing]
"""The blocks and devices of one machine as they are, by key."""


def found_again(story: Story, snapshots: Snapshots, listener: Listener) -> Operation:
    """Hold the last leg against the machines.

    A step without an outcome that was done counts as done (of a run that was asked
    for at once, all those from the first on), and an eject that still waits as
    unanswered; the listener hears of it. Raises ``JournalError`` where a target
    is neither as before its step nor as after it.
    """
    operation = story.operation
    if not operation.legs or operation.legs[-1].ended:
        return operation
    leg = operation.legs[-1]
    now = {name: things_of(snapshot) for name, snapshot in snapshots.items()}
    while story.intent is not None and len(leg.outcomes) <= story.intent and not leg.ended:
        index, step = len(leg.outcomes), leg.plan.steps[len(leg.outcomes)]
        found = outcome_found(step, now[step.machine], leg)
        if found is None:
            break
        listener(StepEnded(index=index, step=step, outcome=found, found=True))
        leg = leg.with_outcome(found)
    for waiting in () if leg.ended else leg.plan.steps[len(leg.outcomes) :]:
        if not is_as_before(waiting, now[waiting.machine], leg):
            raise JournalError(
                operation=f"the operation '{story.begun.request}'",
                problem=f"cannot go on: {waiting} expects {waiting.expect}, and it is otherwise "
                "by now",
                advice="'memhp undo' goes back, or look at the machine and ask anew",
                exit_code=ExitCode.STALE,
            )
    return operation.with_last(leg)


def outcome_found(step: Step, now: Now, leg: Leg) -> Outcome | None:
    """What came of a step that may have been asked for; ``None`` where it may still be asked."""
    if is_as_after(step, now):
        return _how_far(step, now, leg) or Done(note="found done")
    if isinstance(step.action, HoldHugePages):
        held = came_of_holding(step, _held(step, now))
        return replace(held, reason="found so") if isinstance(held, Partly) else None
    device = now.get(step.action.device) if isinstance(step.action, RemoveDevice) else None
    if isinstance(device, Device) and device.pending:
        return Unanswered(asked=str(step))
    block = block_of(step)
    found = None if block is None else _block(now, block)
    if found is not None and found.state is BlockState.GOING_OFFLINE:
        return Unanswered(asked=str(step), why="still held by the kernel")
    return None


def answer_found(step: Step, now: Now) -> Outcome | None:
    """The late answer to a step that got none; ``None`` while it still waits.

    An eject is answered once the device is gone, or the machine says that it
    waits no longer; a new device once its memory is there, or the device is not;
    a block is one thing or the other as soon as it is not on its way.
    """
    if is_as_after(step, now) and _gives_memory(step, now):
        return Done(note=_come(step, now) or "answered late")
    match step.action:
        case RemoveDevice(device=name):
            device = now.get(name)
            if isinstance(device, Device) and device.pending is False:
                return Refused(reason=device.verdict or "the guest answered no, and late")
        case AddDevice(device=name):
            added = now.get(name)
            if not isinstance(added, Device) or not added.present:
                return Refused(reason="the device is not there")
            if added.verdict is not None:
                return Refused(reason=added.verdict)
        case OnlineBlock(block=number) | OfflineBlock(block=number):
            block = _block(now, number)
            if block is None or block.state is not BlockState.GOING_OFFLINE:
                return Refused(reason="it was not done, as was found out later")
        case ResizeDevice():
            return Refused(reason="the guest did not do it, as was found out later")
    return None


def is_as_before(step: Step, now: Now, leg: Leg) -> bool:
    """Whether a step's target is as the step expects it, or will be after the steps before."""
    match step.expect:
        case ExpectBlock(block=number, state=state, zone=zone):
            block = _block(now, number)
            if block is None:
                bringing = AddDevice | ResizeDevice
                return any(isinstance(s.action, bringing) for s in leg.plan.steps)
            return (block.state, block.zone) == (state, zone)
        case ExpectDevice(device=name, present=present, requested_bytes=asked):
            device = now.get(name)
            size = device.requested_bytes if isinstance(device, Device) else None
            return _present(now, name) == present and asked in {None, size}
        case ExpectHugePages(count=count):
            return _held(step, now) == count
    return True


def is_as_after(step: Step, now: Now) -> bool:
    """Whether a step's target is as the step leaves it."""
    match step.action:
        case OnlineBlock(block=number, online_type=word):
            block = _block(now, number)
            return block is not None and in_zone(block, word)
        case OfflineBlock(block=number):
            block = _block(now, number)
            return block is not None and block.state is BlockState.OFFLINE
        case AddDevice(device=name):
            return _present(now, name)
        case RemoveDevice(device=name):
            return not _present(now, name)
        case ResizeDevice(device=name, requested_bytes=size_bytes):
            found = now.get(name)
            return isinstance(found, Device) and found.requested_bytes == size_bytes
        case AwaitDevice() as action:
            return come_in_place_of(action, _devices(now)) is not None
        case HoldHugePages(count=count):
            return _held(step, now) == count
        case DropCaches() | CompactNode():
            # Nothing tells, and to do it once more does no harm.
            return False


def _held(step: Step, now: Now) -> int | None:
    """How many huge pages the pool holds that a step is about."""
    pool = now.get(key_of_step(step))
    return pool.held if isinstance(pool, HugePool) else None


def _come(step: Step, now: Now) -> str:
    """What has come where a person was waited for."""
    if not isinstance(step.action, AwaitDevice):
        return ""
    device = come_in_place_of(step.action, _devices(now))
    return "" if device is None else f"{device.name} has come"


def _devices(now: Now) -> Iterator[Device]:
    return (thing for thing in now.values() if isinstance(thing, Device))


def _how_far(step: Step, now: Now, leg: Leg) -> Partly | None:
    """How much of a resize was done, where it was not all."""
    if not isinstance(step.action, ResizeDevice):
        return None
    name, plugged = step.action.device, _plugged(now.get(step.action.device))
    if plugged == step.action.requested_bytes:
        return None
    was = (t for t in leg.before.get(step.machine, ()) if isinstance(t, Device) and t.name == name)
    before = _plugged(next(was, None))
    return Partly(
        done_bytes=abs(plugged - before),
        wanted_bytes=abs(step.action.requested_bytes - before),
        reason="found so",
    )


def _plugged(thing: Thing | None) -> int:
    return (thing.plugged_bytes or 0) if isinstance(thing, Device) else 0


def _gives_memory(step: Step, now: Now) -> bool:
    """Whether an added device's memory has come; the guest may not have taken it yet."""
    if not isinstance(step.action, AddDevice):
        return True
    device = now.get(step.action.device)
    return isinstance(device, Device) and bool(device.ranges)


def _block(now: Now, number: int) -> MemoryBlock | None:
    found = now.get(f"memory{number}")
    return found if isinstance(found, MemoryBlock) else None


def _present(now: Now, name: str) -> bool:
    found = now.get(name)
    return isinstance(found, Device) and found.present
