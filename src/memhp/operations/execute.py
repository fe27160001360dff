"""Carrying out a plan: one call a step, and a stop at the first that is not done."""

import time
from collections.abc import Callable, Mapping

from memhp.core.errors import StalePlan
from memhp.core.events import Event, PlanEnded, PlanStarted, StepEnded, StepStarted
from memhp.core.machine import Machine
from memhp.core.outcome import Done, Outcome, Unanswered
from memhp.core.plan import AwaitDevice, Plan, mark_of, touched_by
from memhp.core.snapshot import Want

Listener = Callable[[Event], None]
Clock = Callable[[], float]
_WANT = Want.BLOCKS | Want.DEVICES


def check_marks(plan: Plan, machines: Mapping[str, Machine]) -> None:
    """Hold a saved plan against the machines as they are; raises ``StalePlan``.

    Only what the plan touches counts: its blocks and devices, and the boot
    that they belong to.
    """
    for name, mark in plan.marks.items():
        snapshot = machines[name].snapshot(_WANT)
        steps = tuple(step for step in plan.steps if step.machine == name)
        if mark_of(snapshot.identity, touched_by(steps, snapshot)) != mark:
            raise StalePlan(
                machine=name, changed="what the plan touches is no longer as it was, or it booted"
            )


def execute(
    plan: Plan,
    machines: Mapping[str, Machine],
    *,
    until: float | None,
    listener: Listener,
    back: bool = False,
    done: int = 0,
    clock: Clock = time.monotonic,
) -> None:
    """Carry out a plan step by step from step ``done`` on; every event goes to ``listener``.

    Decides nothing: at the first step that is not done, or once ``until`` has
    passed on the clock, it stops. What the listener raises ends it: a journal
    that cannot note an intent keeps the step from being asked for. Raises
    ``MachineError`` where a machine is lost on the way.
    """
    listener(PlanStarted(plan=plan, back=back))
    for index, step in enumerate(plan.steps[done:], done):
        if until is not None and clock() >= until:
            break
        listener(StepStarted(index=index, step=step))
        if isinstance(step.action, AwaitDevice):
            # Nobody can be asked for it; whoever goes on looks whether it has come.
            outcome: Outcome = Unanswered(asked=str(step))
        else:
            outcome = machines[step.machine].apply(step, until=until, tell=listener)
        listener(StepEnded(index=index, step=step, outcome=outcome))
        if not isinstance(outcome, Done):
            break
    listener(PlanEnded())
