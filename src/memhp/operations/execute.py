"""Carrying out a plan: one call a step, and a stop at the first refusal."""

from collections.abc import Callable, Iterator, Mapping

from memhp.core.events import Event, PlanEnded, PlanStarted, StepEnded, StepStarted
from memhp.core.machine import Machine
from memhp.core.outcome import Done
from memhp.core.plan import Plan

Listener = Callable[[Event], None]


def execute(
    plan: Plan, machines: Mapping[str, Machine], *, until: float | None, listener: Listener
) -> None:
    """Carry out a plan step by step; every event goes to ``listener``.

    Decides nothing: at the first step that is not done it stops. Raises
    ``MachineError`` where a machine is lost on the way.
    """
    for event in _events(plan, machines, until, listener):
        listener(event)


def _events(
    plan: Plan, machines: Mapping[str, Machine], until: float | None, listener: Listener
) -> Iterator[Event]:
    yield PlanStarted(plan=plan)
    for index, step in enumerate(plan.steps):
        yield StepStarted(index=index, step=step)
        outcome = machines[step.machine].apply(step, until=until, tell=listener)
        yield StepEnded(index=index, step=step, outcome=outcome)
        if not isinstance(outcome, Done):
            break
    yield PlanEnded()
