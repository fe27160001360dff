"""What came of an operation: a fold over its events, so that a live view and a log agree."""

from collections.abc import Iterable
from dataclasses import dataclass

from memhp.core.events import Event, OperationEnded, PlanStarted, StepEnded
from memhp.core.outcome import Done, Outcome, Partly, Refused, Unanswered
from memhp.core.plan import Step
from memhp.core.words import Ending, ExitCode


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """A step that was asked for, and how it ended; ``back`` where it put something back."""

    step: Step
    outcome: Outcome
    back: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Every step that ended, how many the first plan had, and how it all ended.

    ``ending`` is ``None`` while the operation goes on, or of a single plan.
    """

    planned: int
    steps: tuple[StepReport, ...]
    ending: Ending | None = None
    late: bool = False
    account: str = ""

    @property
    def done(self) -> int:
        """How many steps did what they promised, those that put back left out."""
        return sum(isinstance(e.outcome, Done) and not e.back for e in self.steps)

    @property
    def exit_code(self) -> ExitCode:
        """The exit code of the command: 64 when only a part was done, as in chmem."""
        if self.ending is not None:
            return self.ending.exit_code
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
    planned: int | None = None
    back = late = False
    account = ""
    ending: Ending | None = None
    steps: list[StepReport] = []
    for event in events:
        match event:
            case PlanStarted():
                planned = len(event.plan.steps) if planned is None else planned
                back = event.back
            case StepEnded(step=step, outcome=outcome):
                steps.append(StepReport(step=step, outcome=outcome, back=back))
            case OperationEnded():
                ending, late, account = event.ending, event.late, event.account
            case _:
                pass
    return Report(
        planned=planned or 0, steps=tuple(steps), ending=ending, late=late, account=account
    )
