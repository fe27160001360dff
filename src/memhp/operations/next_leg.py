"""What comes next in an operation: a pure function of what was done and a fresh snapshot."""

from collections.abc import Iterator
from typing import Any

from memhp.core.errors import CannotPlan
from memhp.core.outcome import Done, Unanswered
from memhp.core.plan import AddDevice, Plan, RemoveDevice, plan_of
from memhp.core.request import (
    Add,
    Apply,
    Evacuate,
    Move,
    Offline,
    Online,
    Remove,
    Replace,
    Resize,
    Undo,
)
from memhp.core.snapshot import Device, Snapshot, Want
from memhp.core.words import Ending
from memhp.operations.operation import Leg, Operation, before_of, block_of, refused_in
from memhp.operations.plan_logical import plan_evacuate, plan_offline, plan_online
from memhp.operations.plan_physical import plan_add, plan_remove
from memhp.operations.plan_restore import plan_restore, put_in_step

WANT = Want.BLOCKS | Want.DEVICES | Want.NODES
_MOST_LEGS = 100


def next_leg(operation: Operation, snapshot: Snapshot, *, late: bool = False) -> Leg | None:
    """Plan the next leg; ``None`` where nothing is left to do, or to try.

    ``late`` tells that the deadline has passed: nothing more is tried, and
    what has to be put back is put back. Raises what the planners raise, on
    the first leg alone.
    """
    if _unanswered(operation):
        return None
    plan, back = None, any(leg.back for leg in operation.legs)
    if not back and not late and len(operation.legs) < _MOST_LEGS:
        plan = _forward(operation, snapshot)
    nothing_forward = plan is None or not plan.steps
    if nothing_forward and not is_complete(operation, snapshot) and _wants_back(operation):
        plan, back = _back(operation, snapshot), True
    if plan is None or not plan.steps:
        return None
    return Leg(plan=plan, before=before_of(plan, snapshot), back=back)


def ending_of(operation: Operation, snapshot: Snapshot) -> Ending:
    """How an operation ended for which nothing is left to do."""
    if _unanswered(operation):
        return Ending.UNKNOWN
    if is_complete(operation, snapshot):
        return Ending.DONE
    back = [leg for leg in operation.legs if leg.back]
    if (
        _wants_back(operation)
        and not plan_restore(operation.request, operation.before(), snapshot).steps
    ):
        return Ending.PUT_BACK if back else Ending.REFUSED
    return Ending.PARTLY if any(operation.done_steps()) else Ending.REFUSED


def is_complete(operation: Operation, snapshot: Snapshot) -> bool:
    """Whether what was asked for is so, or enough of it."""
    done = {number for step in operation.done_steps() if (number := block_of(step)) is not None}
    enough = operation.conditions.at_least_bytes
    match operation.request:
        case Online() | Offline() | Evacuate():
            if enough is not None and len(done) * snapshot.block_size_bytes >= enough:
                return True
            first = next(operation.forward(), None)
            return first is None or len(done) >= len(first.plan.steps)
        case Apply():
            return (
                bool(operation.legs) and _went_well(operation.legs[0]) and operation.legs[0].ended
            )
        case Add():
            return _has_done(operation, AddDevice)
        case Resize() | Move():
            return False
        case Remove():
            return _has_done(operation, RemoveDevice)
        case Replace() as request:
            replaced = _has_done(operation, RemoveDevice) and _has_done(operation, AddDevice)
            return replaced and not plan_restore(request, operation.before(), snapshot).steps
        case Undo() as request:
            return not plan_restore(request, operation.goal, snapshot).steps


def _forward(operation: Operation, snapshot: Snapshot) -> Plan | None:
    """The next plan towards what was asked for; ``None`` where there is none."""
    first = not operation.legs
    refused = frozenset(_refused_blocks(operation))
    match operation.request:
        case Online() | Offline() | Evacuate():
            strict = operation.conditions.all_or_nothing
            if refused and strict and operation.conditions.at_least_bytes is None:
                return None
            try:
                return _logical(operation, snapshot, refused)
            except CannotPlan:
                if first:
                    raise
                return None
        case Add() as request:
            return plan_add(request, snapshot) if first else None
        case Resize() | Move():
            return None
        case Remove() as request:
            return plan_remove(request, snapshot) if first else None
        case Replace() as request:
            return _replace(request, operation, snapshot)
        case Apply():
            return None
        case Undo() as request:
            stuck = refused_in(operation.legs)
            return plan_restore(request, operation.goal, snapshot, without=stuck)


def _logical(operation: Operation, snapshot: Snapshot, refused: frozenset[int]) -> Plan:
    so_far: dict[str, Any] = {
        "without": refused,
        "enough_bytes": operation.conditions.at_least_bytes,
        "already_bytes": len(list(operation.done_steps())) * snapshot.block_size_bytes,
    }
    match operation.request:
        case Online() as request:
            return plan_online(request, snapshot, **so_far)
        case Evacuate() as request:
            return plan_evacuate(request, snapshot, **so_far)
        case Offline() as request:
            return plan_offline(request, snapshot, **so_far)
    raise AssertionError(operation.request)


def _replace(request: Replace, operation: Operation, snapshot: Snapshot) -> Plan | None:
    """Out, in, and every block back in the zone that it had."""
    went_well = not operation.legs or _went_well(operation.legs[-1])
    if not _has_done(operation, RemoveDevice):
        return plan_remove(request, snapshot) if went_well else None
    if not _has_done(operation, AddDevice):
        if not went_well:
            return None
        device = next(
            thing
            for thing in operation.before()
            if isinstance(thing, Device) and thing.name == request.device
        )
        return plan_of(request, snapshot, (put_in_step(snapshot, device),))
    stuck = refused_in(operation.legs)
    return plan_restore(request, operation.before(), snapshot, without=stuck)


def _back(operation: Operation, snapshot: Snapshot) -> Plan:
    """The next plan of the way back, without what refused to come back."""
    stuck = refused_in(leg for leg in operation.legs if leg.back)
    return plan_restore(operation.request, operation.before(), snapshot, without=stuck)


def _wants_back(operation: Operation) -> bool:
    """A device goes whole or stays as it was; blocks where it was asked for."""
    if isinstance(operation.request, Remove | Replace):
        return not _has_done(operation, RemoveDevice)
    return operation.conditions.all_or_nothing


def _went_well(leg: Leg) -> bool:
    return all(isinstance(outcome, Done) for outcome in leg.outcomes)


def _has_done(operation: Operation, action: type[AddDevice | RemoveDevice]) -> bool:
    return any(isinstance(step.action, action) for step in operation.done_steps())


def _refused_blocks(operation: Operation) -> Iterator[int]:
    for step in operation.refused_steps():
        number = block_of(step)
        if number is not None:
            yield number


def _unanswered(operation: Operation) -> bool:
    return any(isinstance(out, Unanswered) for leg in operation.legs for out in leg.outcomes)
