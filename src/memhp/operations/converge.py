"""Bringing an operation to its end: snapshots, plan a leg, carry it out, until nothing is left.

Going on after a kill is the same loop: what was done is in the journal, and
what comes next follows from that and fresh snapshots.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from memhp.core.events import Event, OperationEnded, StepEnded
from memhp.core.machine import Alive, Machine
from memhp.core.plan import Plan
from memhp.core.request import Request, Undo
from memhp.core.snapshot import Snapshot, Snapshots, Want
from memhp.core.words import Ability, BlockState, Ending
from memhp.operations.able import check_able
from memhp.operations.count_planned import with_planned_counted
from memhp.operations.execute import Clock, Listener, execute
from memhp.operations.journal_records import Record, planned
from memhp.operations.next_leg import account_of_it, ending_of, next_leg, want_for
from memhp.operations.operation import Key, Leg, Operation, key_of
from memhp.operations.risks import check_risks, want_for_risks
from memhp.operations.untouchable import Pending, check_touched
from memhp.operations.visible import check_visible

Note = Callable[[Record], None]
"""Puts a record into the journal."""
_WAITS = "what waits for an answer was left: 'memhp resume' goes on once there is one"
_WAITS_ALONE = "all that is left to put back waits for an answer: undo again once there is one"
Machines = Mapping[str, Machine]
"""Machines by the names that steps carry."""


def look_at(machines: Machines, request: Request, *, also: Want = Want.NOTHING) -> Snapshots:
    """Read what planning needs of every machine, under the names that steps carry."""
    want = want_for(request) | also
    return {name: _look_at(machine, name, want) for name, machine in machines.items()}


def look_for(operation: Operation, machines: Machines, *, also: Want = Want.NOTHING) -> Snapshots:
    """Read what going on with an operation needs."""
    pools = Want.HUGE_POOLS if operation.wants_pools else Want.NOTHING
    return look_at(machines, operation.request, also=also | pools)


def _look_at(machine: Machine, name: str, want: Want) -> Snapshot:
    snapshot = replace(machine.snapshot(want), machine=name)
    if Want.CENSUS not in want or Ability.CENSUS not in machine.can:
        return snapshot
    online = [block.block for block in snapshot.blocks if block.state is BlockState.ONLINE]
    return replace(snapshot, census=machine.census(online))


def converge(
    operation: Operation,
    machines: Machines,
    *,
    note: Note,
    listeners: Iterable[Listener],
    until: float | None = None,
    clock: Clock = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    pending: tuple[Pending, ...] = (),
) -> Ending:
    """Go on with an operation until nothing is left to do, or to try.

    Whoever gives a deadline is patient: on a machine that changes by itself,
    what refused is tried again after a while. The deadline ends trying; what is
    half done is ended or put back all the same. What other operations have
    asked and got no answer to (``pending``) is left alone. Raises
    ``AnswerPending``, and what planners, machines and the journal raise.
    """
    listeners = tuple(listeners)
    patient = until is not None and any(map(_changes_by_itself, machines.values()))
    outcomes: list[StepEnded] = []

    def tell(event: Event) -> None:
        for listener in listeners:
            listener(event)
        if isinstance(event, StepEnded):
            outcomes.append(event)

    def carry_out(operation: Operation) -> Operation:
        outcomes.clear()
        leg = operation.legs[-1]
        execute(
            leg.plan,
            machines,
            until=None if leg.back or leg.to_the_end else until,
            listener=tell,
            back=leg.back or leg.settles,
            done=len(leg.outcomes),
            clock=clock,
        )
        return operation.with_last(leg.with_outcomes(event.outcome for event in outcomes))

    if operation.legs and not operation.legs[-1].ended:
        operation = carry_out(operation)
    while True:
        snapshots = _seen(operation, machines)
        late = until is not None and clock() >= until
        untouchable = frozenset(key for item in pending for key in item.keys(snapshots))
        leg = next_leg(operation, snapshots, late=late, untouchable=untouchable, patient=patient)
        if leg is None:
            return _end(operation, snapshots, late=late, tell=tell, waiting=untouchable)
        check_touched(leg.plan, snapshots, pending)
        check_able(leg.plan, machines)
        _check_first(leg.plan, operation, snapshots, machines)
        _pause(leg, until, clock, sleep)
        note(planned(leg))
        operation = carry_out(operation.with_leg(leg))


def _seen(operation: Operation, machines: Machines) -> Snapshots:
    """What planning needs, and for the first plan what it may hurt."""
    also = Want.NOTHING if operation.legs else want_for_risks(operation.request)
    snapshots = look_for(operation, machines, also=also)
    check_visible(operation, snapshots)
    return snapshots


def _check_first(
    plan: Plan, operation: Operation, snapshots: Snapshots, machines: Machines
) -> None:
    """The first plan alone is refused; what puts something back is not either."""
    if not operation.legs and not isinstance(operation.request, Undo):
        accepted = operation.conditions.accept
        check_risks(plan, with_planned_counted(plan, snapshots, machines, accepted), accepted)


def _pause(leg: Leg, until: float | None, clock: Clock, sleep: Callable[[float], None]) -> None:
    """Wait before a leg as long as it says, and not beyond the deadline."""
    if leg.pause_seconds and until is not None:
        sleep(max(0.0, min(leg.pause_seconds, until - clock())))


def _changes_by_itself(machine: Machine) -> bool:
    return isinstance(machine, Alive) and machine.changes_by_itself


def _end(
    operation: Operation,
    snapshots: Snapshots,
    *,
    late: bool,
    tell: Listener,
    waiting: frozenset[Key],
) -> Ending:
    """Tell how it ended. What could not be put back yet, for it waits for an answer, has not.

    Nor has what is there still, and may go with the answer.
    """
    ending, account = ending_of(operation, snapshots), account_of_it(operation, snapshots)
    goal = {(name, key_of(thing)) for name, things in operation.goal.items() for thing in things}
    open_ones = waiting if ending is not Ending.DONE else waiting & goal
    if open_ones and isinstance(operation.request, Undo):
        ending, account = Ending.UNKNOWN, _WAITS if operation.legs else _WAITS_ALONE
    tell(OperationEnded(ending=ending, late=late and ending is not Ending.DONE, account=account))
    return ending
