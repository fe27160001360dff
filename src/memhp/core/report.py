"""What came of a plan: a fold over its events, so that a live view and a log agree."""

from collections.abc import Iterable
from dataclasses import dataclass

from memhp.core.events import Event, PlanStarted, StepEnded
from memhp.core.outcome import Done, Outcome, Partly, Refused, Unanswered
from memhp.core.plan import Step
from memhp.core.words import ExitCode


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """A step that was asked for, and how it ended."""

    step: Step
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Every step that ended, and how many were planned."""

    planned: int
    steps: tuple[StepReport, ...]

    @property
    def done(self) -> int:
        """How many steps did what they promised."""
        return sum(isinstance(entry.outcome, Done) for entry in self.steps)

    @property
    def exit_code(self) -> ExitCode:
        """The exit code of the command: 64 when only a part was done, as in chmem."""
        outcomes = [entry.outcome for entry in self.steps]
        if any(isinstance(outcome, Unanswered) for outcome in outcomes):
            return ExitCode.UNKNOWN_OUTCOME
        if self.done == self.planned:
            return ExitCode.DONE
        if self.done or any(isinstance(outcome, Partly) for outcome in outcomes):
            return ExitCode.PARTLY
        return ExitCode.REFUSED

    @property
    def refusals(self) -> tuple[StepReport, ...]:
        """The steps that were refused."""
        return tuple(entry for entry in self.steps if isinstance(entry.outcome, Refused))


def report_of(events: Iterable[Event]) -> Report:
    """Fold events into a report."""
    planned = 0
    steps: list[StepReport] = []
    for event in events:
        match event:
            case PlanStarted(plan=plan):
                planned = len(plan.steps)
            case StepEnded(step=step, outcome=outcome):
                steps.append(StepReport(step=step, outcome=outcome))
            case _:
                pass
    return Report(planned=planned, steps=tuple(steps))
