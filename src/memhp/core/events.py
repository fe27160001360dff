"""What flows out of an operation that is being carried out."""

from dataclasses import dataclass

from memhp.core.outcome import Outcome
from memhp.core.plan import Plan, Step
from memhp.core.words import Ending


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanStarted:
    """A plan fits the machines and its first step comes next.

    ``back`` tells that it puts back what was done before.
    """

    plan: Plan
    back: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted:
    """``count`` steps from ``first`` on are about to be asked for at once, to be done in turn.

    Each is told of in its turn all the same.
    """

    first: int
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StepStarted:
    """A step is about to be asked for. ``index`` counts from 0 in its plan."""

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
    """A step has its outcome.

    ``found`` tells that it was not asked for now: it was found done by
    somebody who went on after a kill.
    """

    index: int
    step: Step
    outcome: Outcome
    found: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanEnded:
    """No step of this plan will follow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationEnded:
    """Nothing is left to do, or to try. ``late`` tells that the deadline had passed.

    ``account`` is what came of it by the machines' own account, where the steps
    alone do not tell: how much was moved.
    """

    ending: Ending
    late: bool = False
    account: str = ""


Event = (
    PlanStarted | RunStarted | StepStarted | StepProgress | StepEnded | PlanEnded | OperationEnded
)
