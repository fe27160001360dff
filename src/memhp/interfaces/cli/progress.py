"""What happens, told as it happens: plain lines, and on a terminal a live line below them."""

import sys
import time
from collections.abc import Callable

from memhp.core.events import (
    Event,
    OperationEnded,
    PlanStarted,
    StepEnded,
    StepProgress,
    StepStarted,
)
from memhp.core.outcome import Unanswered
from memhp.core.plan import AwaitDevice, Plan, Preparing
from memhp.core.report import Report
from memhp.core.words import Ending
from memhp.interfaces.cli.show import outcome_words, step_words

_BAR_WIDTH = 24
_CLEAR = "\r\x1b[K"


class Progress:
    """A listener that prints a line a step to stdout, and a live line to a terminal's stderr."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, *, several: bool = False
    ) -> None:
        self._several = several
        self._live = sys.stderr.isatty()
        self._clock = clock
        self._total = 0
        self._done = 0
        self._began = 0.0

    def __call__(self, event: Event) -> None:
        """Tell of an event."""
        match event:
            case PlanStarted(plan=plan, back=back):
                self._total, self._done, self._began = len(plan.steps), 0, self._clock()
                if back:
                    self._clear()
                    print(f"putting back what was {_what(plan)}", flush=True)
            case StepStarted(index=index, step=step):
                self._draw(index, step_words(step, several=self._several))
            case StepProgress(step=step, unit=unit):
                self._draw(self._done, f"{step}: {unit}")
            case StepEnded(index=index, step=step, outcome=outcome):
                self._done = index + 1
                self._clear()
                words = step_words(step, several=self._several)
                waits = isinstance(step.action, AwaitDevice) and isinstance(outcome, Unanswered)
                came = "it has not come yet" if waits else outcome_words(outcome)
                print(f"{words}: {came}", flush=True)
            case OperationEnded():
                self._clear()
            case _:
                pass

    def _draw(self, done: int, what: str) -> None:
        if not self._live:
            return
        filled = _BAR_WIDTH * done // max(1, self._total)
        bar = "#" * filled + "." * (_BAR_WIDTH - filled)
        left = self._estimate(done)
        print(
            f"{_CLEAR}[{bar}] {done}/{self._total} {what}{left}",
            end="",
            file=sys.stderr,
            flush=True,
        )

    def _estimate(self, done: int) -> str:
        """What is left, by what a step has taken so far."""
        if not done:
            return ""
        seconds = (self._clock() - self._began) / done * (self._total - done)
        return f", about {seconds:.0f} s left" if seconds >= 1 else ""

    def _clear(self) -> None:
        if self._live:
            print(_CLEAR, end="", file=sys.stderr, flush=True)


def _what(plan: Plan) -> str:
    prepared = all(isinstance(step.action, Preparing) for step in plan.steps)
    return "prepared" if prepared else "done"


def print_report(report: Report) -> None:
    """Sum up on stderr what came of an operation."""
    if not report.steps and report.ending is Ending.DONE:
        print("nothing to do: everything is so already", file=sys.stderr)
        return
    late = "the deadline has passed; " if report.late else ""
    if report.account:
        print(f"{late}{_unless_done(report)}{report.account}", file=sys.stderr)
    elif report.ending in {Ending.PUT_BACK, Ending.UNKNOWN}:
        print(f"{late}{report.ending}", file=sys.stderr)
    elif report.planned > 1 or late:
        planned = max(report.planned, report.done)
        print(f"{late}{report.done} of {planned} steps done", file=sys.stderr)


def _unless_done(report: Report) -> str:
    return "" if report.ending is Ending.DONE else f"{report.ending}: "
