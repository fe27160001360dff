"""What comes next in an operation: a pure function of what was done and fresh snapshots."""

from memhp.core.outcome import Done, Partly
from memhp.core.plan import Plan, Preparing, RemoveDevice
from memhp.core.request import (
    Add,
    Apply,
    Evacuate,
    Move,
    Offline,
    Online,
    Remove,
    Replace,
    Request,
    Resize,
    Undo,
)
from memhp.core.snapshot import Snapshots, Want
from memhp.core.targets import Amount
from memhp.core.words import Ending
from memhp.operations import next_add, next_blocks, next_move, next_replace, next_resize
from memhp.operations.ahead import Ahead, ahead
from memhp.operations.move_account import account_of, account_words
from memhp.operations.operation import Key, Leg, Operation, before_of, refused_in, the_only
from memhp.operations.plan_physical import plan_remove
from memhp.operations.plan_prepare import check_pools, prepared
from memhp.operations.plan_restore import is_restored, plan_restore
from memhp.operations.resolve import device_meant
from memhp.operations.settle_prepared import is_unsettled, plan_settle, takes_out

_WANT = Want.BLOCKS | Want.DEVICES | Want.NODES
_MOST_LEGS = 100
_NONE: frozenset[Key] = frozenset()


def want_for(request: Request) -> Want:
    """The parts of a snapshot that planning needs."""
    match request:
        case Move() | Replace(add_first=True):
            return _WANT | Want.ROOM | Want.HOST
        case Replace():
            return _WANT | Want.ROOM
        case Offline(targets=targets) | Evacuate(targets=targets):
            if any(isinstance(target, Amount) for target in targets):
                return _WANT | Want.ROOM | Want.CENSUS
    return _WANT


def next_leg(
    operation: Operation,
    snapshots: Snapshots,
    *,
    late: bool = False,
    untouchable: frozenset[Key] = _NONE,
    patient: bool = False,
) -> Leg | None:
    """Plan the next leg; ``None`` where nothing is left to do, or to try.

    ``late`` tells that the deadline has passed: nothing more is tried, and
    what is half done is ended or put back, as after an outcome that ends the
    run. What is ``untouchable`` is not put back. The ``patient`` try again after
    a pause what may be otherwise then. Raises what the planners raise, on the
    first leg alone.
    """
    if operation.unanswered() is not None:
        return None
    late = late or operation.has_to_end()
    back = any(leg.back for leg in operation.legs)
    if not back and len(operation.legs) < _MOST_LEGS:
        found = _forward(operation, snapshots, late=late, untouchable=untouchable, patient=patient)
        if found is not None and not takes_out(found.plan):
            settling = _settling(operation, snapshots)
            if settling is not None:
                return settling
        if found is not None:
            plan = _with_preparations(operation, found.plan, snapshots)
            return Leg(
                plan=plan,
                before=before_of(plan, snapshots),
                to_the_end=found.to_the_end,
                pause_seconds=found.pause_seconds,
            )
    if is_complete(operation, snapshots) or not wants_back(operation, snapshots):
        return _settling(operation, snapshots)
    plan = _back(operation, snapshots, untouchable)
    if not plan.steps:
        return None
    return Leg(plan=plan, before=before_of(plan, snapshots), back=True)


def ending_of(operation: Operation, snapshots: Snapshots) -> Ending:
    """How an operation ended for which nothing is left to do."""
    if operation.unanswered() is not None:
        return Ending.WAITING if operation.waits_for_a_person() else Ending.UNKNOWN
    if is_complete(operation, snapshots):
        return Ending.PARTLY if is_unsettled(operation) else Ending.DONE
    if wants_back(operation, snapshots) and is_restored(
        operation.request, operation.before(), snapshots
    ):
        back = any(leg.back for leg in operation.legs)
        return Ending.PUT_BACK if back else Ending.REFUSED
    return Ending.PARTLY if _has_changed(operation, snapshots) else Ending.REFUSED


def account_of_it(operation: Operation, snapshots: Snapshots) -> str:
    """What came of it by the machines' own account, where the steps alone do not tell."""
    asked = operation.unanswered()
    if operation.waits_for_a_person():
        return next_replace.account(operation)
    if asked is not None:
        return f"no answer to '{asked}' yet: 'memhp resume' takes it once there is one"
    if not operation.legs:
        return ""
    match operation.request:
        case Resize() as request:
            return next_resize.account(operation, request, the_only(snapshots))
        case Move() as request:
            return account_words(operation, request, snapshots)
    return ""


def is_complete(operation: Operation, snapshots: Snapshots) -> bool:
    """Whether what was asked for is so, or enough of it."""
    match operation.request:
        case Online() | Offline() | Evacuate():
            return next_blocks.is_complete(operation, the_only(snapshots))
        case Apply():
            first = operation.legs[0] if operation.legs else None
            return first is not None and first.went_well and first.ended
        case Add() as request:
            return next_add.is_complete(operation, request, the_only(snapshots))
        case Remove():
            return operation.has_done(RemoveDevice)
        case Resize() as request:
            return next_resize.is_complete(operation, request, the_only(snapshots))
        case Replace():
            return next_replace.is_complete(operation, the_only(snapshots))
        case Move() as request:
            return next_move.is_complete(operation, request, snapshots)
        case Undo() as request:
            return is_restored(request, operation.goal, snapshots)


def wants_back(operation: Operation, snapshots: Snapshots) -> bool:
    """A device goes whole or stays as it was; anything else where it was asked for."""
    match operation.request:
        case Remove() | Replace():
            return not operation.has_done(RemoveDevice)
        case Move() as request:
            return next_move.wants_back(operation, request, snapshots)
    return operation.conditions.all_or_nothing


def _forward(
    operation: Operation,
    snapshots: Snapshots,
    *,
    late: bool,
    untouchable: frozenset[Key],
    patient: bool,
) -> Ahead | None:
    """The next plan towards what was asked for; ``None`` where there is none."""
    match operation.request:
        case Move() as request:
            return next_move.go_on(operation, request, snapshots, late=late)
        case Replace() as request:
            return next_replace.go_on(operation, request, the_only(snapshots), late=late)
        case Resize() as request:
            return next_resize.go_on(operation, request, the_only(snapshots), late=late)
        case Undo() as request if not late:
            stuck = refused_in(operation.legs) | untouchable
            return ahead(plan_restore(request, operation.goal, snapshots, without=stuck))
    return None if late else _simply_forward(operation, snapshots, patient=patient)


def _with_preparations(operation: Operation, plan: Plan, snapshots: Snapshots) -> Plan:
    """The plan with what was asked for before the first block of the operation goes."""
    prepare = operation.conditions.prepare
    if not prepare or any(takes_out(leg.plan) for leg in operation.forward()):
        return plan
    for snapshot in snapshots.values():
        if not operation.legs:
            check_pools(plan, prepare, snapshot)
        plan = prepared(plan, prepare, snapshot)
    return plan


def _settling(operation: Operation, snapshots: Snapshots) -> Leg | None:
    """The leg that puts back what was prepared; not a late one, and no part of the way."""
    plan = plan_settle(operation, snapshots)
    if not plan.steps:
        return None
    return Leg(plan=plan, before=before_of(plan, snapshots), to_the_end=True, settles=True)


def _simply_forward(operation: Operation, snapshots: Snapshots, *, patient: bool) -> Ahead | None:
    """The same for what stops at the deadline as it stands."""
    match operation.request:
        case Online() | Offline() | Evacuate():
            return next_blocks.go_on(operation, the_only(snapshots), patient=patient)
        case Add() as request:
            return next_add.go_on(operation, request, the_only(snapshots))
        case Remove() as request if not operation.legs:
            snapshot = the_only(snapshots)
            return ahead(plan_remove(request, snapshot, device_meant(request.device, snapshot)))
    return None


def _back(operation: Operation, snapshots: Snapshots, untouchable: frozenset[Key]) -> Plan:
    """The next plan of the way back, without what refused to come back."""
    stuck = refused_in(leg for leg in operation.legs if leg.back) | untouchable
    return plan_restore(operation.request, operation.before(), snapshots, without=stuck)


def _has_changed(operation: Operation, snapshots: Snapshots) -> bool:
    """Whether anything is otherwise than before that was meant to be."""
    match operation.request:
        case Resize():
            return next_resize.changed_bytes(operation, the_only(snapshots)) != 0
        case Move() as request:
            account = account_of(operation, request, snapshots)
            return bool(account.taken_bytes or account.given_bytes)
    if is_unsettled(operation):
        return True
    counts = isinstance(operation.request, Undo)
    return any(
        isinstance(outcome, Done | Partly)
        for leg in operation.legs
        for step, outcome in leg.results()
        if (counts or not isinstance(step.action, Preparing))
        and (isinstance(outcome, Partly) or not leg.back)
    )
