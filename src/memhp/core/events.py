"""What flows out of a plan that is being carried out."""

from dataclasses import dataclass

from memhp.core.outcome import Outcome
from memhp.core.plan import Plan, Step


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanStarted:
    """The plan fits the machines and its first step comes next."""

    plan: Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class StepStarted:
    """A step is about to be asked for. ``index`` counts from 0."""

    index: int
    step: Step


@dataclass(frozen=True, slots=True, kw_only=True)
class StepProgress:
    """A long step tells how far it is; ``total`` is ``None`` where nobody knows."""

    step: Step
    done: int
    total: int | None
    unit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepEnded:
    """A step has its outcome."""

    index: int
    step: Step
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanEnded:
    """No step will follow."""


Event = PlanStarted | StepStarted | StepProgress | StepEnded | PlanEnded
