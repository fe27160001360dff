"""What comes next where blocks are to come online or go offline."""

from dataclasses import replace
from typing import Any

from memhp.core.errors import CannotPlan
from memhp.core.plan import Plan
from memhp.core.request import Evacuate, Offline, Online
from memhp.core.snapshot import Snapshot
from memhp.operations.again import blocks_to_try_again
from memhp.operations.ahead import Ahead, ahead
from memhp.operations.operation import Operation, block_of
from memhp.operations.plan_logical import plan_evacuate, plan_offline, plan_online


def go_on(operation: Operation, snapshot: Snapshot, *, patient: bool = False) -> Ahead | None:
    """The blocks that are left, without those that refused, others in their place for amounts.

    Those that refused for want of something that may have changed are tried
    again at the end, after a pause only for the ``patient``. Raises what the
    planners raise, on the first leg alone.
    """
    refused = {n for step in operation.refused_steps() if (n := block_of(step)) is not None}
    strict = operation.conditions.all_or_nothing and operation.conditions.at_least_bytes is None
    if strict and any(operation.refused_steps()):
        return None
    found = _try(operation, snapshot, frozenset(refused))
    if found is not None or not refused:
        return found
    again = blocks_to_try_again(operation, patient=patient)
    if again.pause_seconds and not patient:
        return None
    found = _try(operation, snapshot, frozenset(refused - again.blocks))
    return None if found is None else replace(found, pause_seconds=again.pause_seconds)


def _try(operation: Operation, snapshot: Snapshot, refused: frozenset[int]) -> Ahead | None:
    try:
        return ahead(_plan(operation, snapshot, refused))
    except CannotPlan:
        if not operation.legs:
            raise
        return None


def is_complete(operation: Operation, snapshot: Snapshot) -> bool:
    """Whether every block of the first plan is as asked, or enough of them."""
    done = {n for step in operation.done_steps() if (n := block_of(step)) is not None}
    enough = operation.conditions.at_least_bytes
    if enough is not None and len(done) * snapshot.block_size_bytes >= enough:
        return True
    first = next(operation.forward(), None)
    if first is None:
        return not _plan(operation, snapshot, frozenset()).steps
    return len(done) >= sum(block_of(step) is not None for step in first.plan.steps)


def _plan(operation: Operation, snapshot: Snapshot, refused: frozenset[int]) -> Plan:
    done = sum(block_of(step) is not None for step in operation.done_steps())
    so_far: dict[str, Any] = {
        "without": refused,
        "enough_bytes": operation.conditions.at_least_bytes,
        "already_bytes": done * snapshot.block_size_bytes,
    }
    match operation.request:
        case Online() as request:
            return plan_online(request, snapshot, **so_far)
        case Evacuate() as request:
            return plan_evacuate(request, snapshot, **so_far)
        case Offline() as request:
            return plan_offline(request, snapshot, **so_far)
    raise AssertionError(operation.request)
