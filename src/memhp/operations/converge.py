"""Bringing an operation to its end: snapshot, plan a leg, carry it out, until nothing is left.

Going on after a kill is the same loop: what was done is in the journal, and
what comes next follows from that and a fresh snapshot.
"""

import time
from collections.abc import Callable, Iterable, Mapping

from memhp.core.errors import JournalError
from memhp.core.events import Event, OperationEnded, StepEnded
from memhp.core.machine import Machine
from memhp.core.outcome import Done
from memhp.core.plan import (
    AddDevice,
    ExpectBlock,
    ExpectDevice,
    OfflineBlock,
    OnlineBlock,
    RemoveDevice,
    ResizeDevice,
    Step,
)
from memhp.core.snapshot import Device, MemoryBlock, Snapshot
from memhp.core.words import BlockState, Ending, ExitCode, OnlineType, ZoneType
from memhp.operations.execute import Clock, Listener, execute
from memhp.operations.journal_records import Planned, Record, Story
from memhp.operations.next_leg import WANT, ending_of, next_leg
from memhp.operations.operation import Leg, Operation, Thing, things_of

Note = Callable[[Record], None]
"""Puts a record into the journal."""


def converge(
    operation: Operation,
    machine: Machine,
    *,
    note: Note,
    listeners: Iterable[Listener],
    until: float | None = None,
    clock: Clock = time.monotonic,
) -> Ending:
    """Go on with an operation until nothing is left to do, or to try.

    The deadline ends trying; what has to be put back is put back all the same.
    Raises what planners, machines and the journal raise.
    """
    listeners = tuple(listeners)
    outcomes: list[StepEnded] = []

    def tell(event: Event) -> None:
        for listener in listeners:
            listener(event)
        if isinstance(event, StepEnded):
            outcomes.append(event)

    if operation.legs and not operation.legs[-1].ended:
        operation = _carry_out(
            operation, machine, tell=tell, outcomes=outcomes, until=until, clock=clock
        )
    while True:
        snapshot = machine.snapshot(WANT)
        late = until is not None and clock() >= until
        leg = next_leg(operation, snapshot, late=late)
        if leg is None:
            ending = ending_of(operation, snapshot)
            tell(OperationEnded(ending=ending, late=late and ending is not Ending.DONE))
            return ending
        note(Planned(plan=leg.plan, before=leg.before, back=leg.back))
        operation = operation.with_leg(leg)
        limit = None if leg.back else until
        operation = _carry_out(
            operation, machine, tell=tell, outcomes=outcomes, until=limit, clock=clock
        )


def _carry_out(
    operation: Operation,
    machine: Machine,
    *,
    tell: Listener,
    outcomes: list[StepEnded],
    until: float | None,
    clock: Clock,
) -> Operation:
    """Carry out what is left of the last leg."""
    leg = operation.legs[-1]
    outcomes.clear()
    execute(
        leg.plan,
        {machine.name: machine},
        until=until,
        listener=tell,
        back=leg.back,
        done=len(leg.outcomes),
        clock=clock,
    )
    for event in outcomes:
        leg = leg.with_outcome(event.outcome)
    return operation.with_last(leg)


def found_again(story: Story, snapshot: Snapshot, listener: Listener) -> Operation:
    """Hold the last leg of a journal against the machine, before going on with it.

    A step without an outcome whose target is as after it counts as done, and
    the listener hears of it. Raises ``JournalError`` where a target is neither
    as before its step nor as after it.
    """
    operation = story.operation
    if not operation.legs or operation.legs[-1].ended:
        return operation
    leg = operation.legs[-1]
    now = things_of(snapshot)
    waiting = leg.plan.steps[len(leg.outcomes) :]
    if story.intent is not None and is_as_after(waiting[0], now):
        index = len(leg.outcomes)
        done = Done(note="found done")
        listener(StepEnded(index=index, step=waiting[0], outcome=done, found=True))
        leg, waiting = leg.with_outcome(done), waiting[1:]
    for step in waiting:
        if not is_as_before(step, now, leg):
            raise JournalError(
                operation=f"the operation '{story.begun.request}'",
                problem=f"cannot go on: {step} expects {step.expect}, and it is otherwise by now",
                advice="'memhp undo' goes back, or look at the machine and ask anew",
                exit_code=ExitCode.STALE,
            )
    return operation.with_last(leg)


def is_as_before(step: Step, now: Mapping[str, Thing], leg: Leg) -> bool:
    """Whether a step's target is as the step expects it, or will be after the steps before."""
    match step.expect:
        case ExpectBlock(block=number, state=state, zone=zone):
            block = _block(now, number)
            if block is None:
                return any(isinstance(s.action, AddDevice) for s in leg.plan.steps)
            return (block.state, block.zone) == (state, zone)
        case ExpectDevice(device=name, present=present):
            return _present(now, name) == present
    return True


def is_as_after(step: Step, now: Mapping[str, Thing]) -> bool:
    """Whether a step's target is as the step leaves it."""
    match step.action:
        case OnlineBlock(block=number, online_type=word):
            block = _block(now, number)
            return block is not None and _came_online(block, word)
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


def _came_online(block: MemoryBlock, word: OnlineType) -> bool:
    if block.state is not BlockState.ONLINE:
        return False
    movable = block.zone is ZoneType.MOVABLE
    if word is OnlineType.ONLINE_MOVABLE:
        return movable
    return not movable if word is OnlineType.ONLINE_KERNEL else True


def _block(now: Mapping[str, Thing], number: int) -> MemoryBlock | None:
    found = now.get(f"memory{number}")
    return found if isinstance(found, MemoryBlock) else None


def _present(now: Mapping[str, Thing], name: str) -> bool:
    found = now.get(name)
    return isinstance(found, Device) and found.present
