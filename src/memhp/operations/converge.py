"""Bringing an operation to its end: snapshots, plan a leg, carry it out, until nothing is left.

Going on after a kill is the same loop: what was done is in the journal, and
what comes next follows from that and fresh snapshots.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from memhp.core.events import Event, OperationEnded, StepEnded
from memhp.core.machine import Machine
from memhp.core.plan import Plan
from memhp.core.request import Request, Undo
from memhp.core.snapshot import Snapshots, Want
from memhp.core.words import Ending
from memhp.operations.able import check_able
from memhp.operations.execute import Clock, Listener, execute
from memhp.operations.journal_records import Planned, Record
from memhp.operations.next_leg import account_of_it, ending_of, next_leg, want_for
from memhp.operations.operation import Operation
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
    return {name: replace(m.snapshot(want), machine=name) for name, m in machines.items()}


def converge(
    operation: Operation,
    machines: Machines,
    *,
    note: Note,
    listeners: Iterable[Listener],
    until: float | None = None,
    clock: Clock = time.monotonic,
    pending: tuple[Pending, ...] = (),
) -> Ending:
    """Go on with an operation until nothing is left to do, or to try.

    The deadline ends trying; what is half done is ended or put back all the
    same. What other operations have asked and got no answer to (``pending``) is
    left alone. Raises ``AnswerPending``, and what planners, machines and the
    journal raise.
    """
    listeners = tuple(listeners)
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
            back=leg.back,
            done=len(leg.outcomes),
            clock=clock,
        )
        for event in outcomes:
            leg = leg.with_outcome(event.outcome)
        return operation.with_last(leg)

    if operation.legs and not operation.legs[-1].ended:
        operation = carry_out(operation)
    while True:
        snapshots = _look(operation, machines)
        late = until is not None and clock() >= until
        untouchable = frozenset(key for item in pending for key in item.keys(snapshots))
        leg = next_leg(operation, snapshots, late=late, untouchable=untouchable)
        if leg is None:
            return _end(operation, snapshots, late=late, tell=tell, waits=bool(untouchable))
        check_touched(leg.plan, snapshots, pending)
        check_able(leg.plan, machines)
        _check_first(leg.plan, operation, snapshots)
        note(Planned(plan=leg.plan, before=leg.before, back=leg.back, to_the_end=leg.to_the_end))
        operation = carry_out(operation.with_leg(leg))


def _look(operation: Operation, machines: Machines) -> Snapshots:
    """What planning needs, and for the first plan what it may hurt."""
    also = Want.NOTHING if operation.legs else want_for_risks(operation.request)
    snapshots = look_at(machines, operation.request, also=also)
    check_visible(operation, snapshots)
    return snapshots


def _check_first(plan: Plan, operation: Operation, snapshots: Snapshots) -> None:
    """The first plan alone is refused; what puts something back is not either."""
    if not operation.legs and not isinstance(operation.request, Undo):
        check_risks(plan, snapshots, operation.conditions.accept)


def _end(
    operation: Operation, snapshots: Snapshots, *, late: bool, tell: Listener, waits: bool
) -> Ending:
    """Tell how it ended. What could not be put back yet, for it waits for an answer, has not."""
    ending, account = ending_of(operation, snapshots), account_of_it(operation, snapshots)
    if waits and isinstance(operation.request, Undo) and ending is not Ending.DONE:
        ending, account = Ending.UNKNOWN, _WAITS if operation.legs else _WAITS_ALONE
    tell(OperationEnded(ending=ending, late=late and ending is not Ending.DONE, account=account))
    return ending
