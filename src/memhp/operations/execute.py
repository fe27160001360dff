"""Carrying out a plan: one call a step, and a stop at the first that is not done."""

import time
from collections.abc import Callable, Mapping, Sequence

from memhp.core.errors import StalePlan
from memhp.core.events import Event, PlanEnded, PlanStarted, RunStarted, StepEnded, StepStarted
from memhp.core.machine import Machine, TakesRuns
from memhp.core.outcome import Done, Outcome, Unanswered
from memhp.core.plan import AwaitDevice, Plan, Step, mark_of, touched_by
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
    while done < len(plan.steps) and (until is None or clock() < until):
        outcomes = _ask(plan.steps, done, machines, until=until, listener=listener)
        done += len(outcomes)
        if not outcomes or not isinstance(outcomes[-1], Done):
            break
    listener(PlanEnded())


def _ask(
    steps: Sequence[Step],
    index: int,
    machines: Mapping[str, Machine],
    *,
    until: float | None,
    listener: Listener,
) -> list[Outcome]:
    """Ask for the step of this index, and for those behind it that its machine takes with it."""
    step, machine = steps[index], machines[steps[index].machine]
    run = machine.run_of(steps[index:]) if isinstance(machine, TakesRuns) else 1
    if run > 1:
        listener(RunStarted(first=index, count=run))
    listener(StepStarted(index=index, step=step))
    outcomes: list[Outcome] = []

    def ended(outcome: Outcome) -> None:
        now = index + len(outcomes)
        outcomes.append(outcome)
        listener(StepEnded(index=now, step=steps[now], outcome=outcome))
        if isinstance(outcome, Done) and len(outcomes) < run:
            listener(StepStarted(index=now + 1, step=steps[now + 1]))

    if isinstance(step.action, AwaitDevice):
        # Nobody can be asked for it; whoever goes on looks whether it has come.
        ended(Unanswered(asked=str(step)))
    elif run > 1 and isinstance(machine, TakesRuns):
        machine.apply_run(steps[index : index + run], until=until, tell=listener, ended=ended)
    else:
        ended(machine.apply(step, until=until, tell=listener))
    return outcomes
