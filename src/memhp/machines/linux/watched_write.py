"""A block that goes offline under watch: its progress told, given up when it stalls or hurts."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from memhp.core.events import StepProgress
from memhp.core.limits import Limits
from memhp.core.machine import Tell
from memhp.core.outcome import Outcome, Refused
from memhp.core.plan import Step

Reading = Callable[[], float | None]
"""Looks at one figure of the machine; ``None`` where it cannot be told."""
_MOST_TRIES = 3
_LOOK_EVERY = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What is looked at: pages left in the block, pages moved by the machine, its pressure."""

    left: Reading
    moved: Reading
    pressure: Reading
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


class BlockWatch:
    """Looks at a block while it migrates. ``why`` tells what it was given up for."""

    def __init__(self, step: Step, sight: Sight, limits: Limits, tell: Tell) -> None:
        self._step, self._sight, self._limits, self._tell = step, sight, limits, tell
        self._fewest: float | None = None
        self._first: float | None = None
        self._since = sight.clock()
        self.why = ""
        self.hurts = False

    def __call__(self) -> bool:
        """Look once; tells whether it may go on."""
        self._progress()
        pressure = pressure_over(self._sight, self._limits)
        stalled = self._sight.clock() - self._since
        if pressure is not None:
            self.why, self.hurts = f"memory pressure is {pressure:.0f} %", True
        elif self._limits.stall_seconds is not None and stalled >= self._limits.stall_seconds:
            self.why = f"given up, for nothing has moved for {self._limits.stall_seconds:.0f} s"
        return not self.why

    def _progress(self) -> None:
        """Tell what is left, and note when there was less than ever before."""
        left, moved = self._sight.left(), None
        if left is None:
            moved = self._sight.moved()
        figure = left if left is not None else None if moved is None else -moved
        if figure is None:
            return
        if self._first is None:
            self._first = figure
        if self._fewest is None or figure < self._fewest:
            self._fewest, self._since = figure, self._sight.clock()
        gone = int(self._first - figure)
        total, unit = (None, "pages moved") if left is None else (int(self._first), "pages gone")
        self._tell(StepProgress(step=self._step, done=gone, total=total, unit=unit))


def watched(
    step: Step,
    attempt: Callable[[BlockWatch], Outcome],
    sight: Sight,
    limits: Limits,
    tell: Tell,
) -> Outcome:
    """Attempt a step while the machine can bear it.

    Pressure above the limit is waited out, before the block and after one that
    was given up for it; where it stays, the outcome ends the run.
    """
    for _ in range(_MOST_TRIES):
        pressure = _wait_for_calm(step, sight, limits, tell)
        if pressure is not None:
            return _too_much(f"memory pressure has stayed at {pressure:.0f} %", limits)
        watch = BlockWatch(step, sight, limits, tell)
        outcome = attempt(watch)
        if not isinstance(outcome, Refused) or outcome.errno_name != "EINTR" or not watch.why:
            return outcome
        if not watch.hurts:
            return replace(outcome, reason=f"{outcome.reason}: {watch.why}")
    return _too_much("moving this block brings memory pressure above the limit each time", limits)


def pressure_over(sight: Sight, limits: Limits) -> float | None:
    """The pressure, where it is above the limit."""
    pressure = None if limits.pressure_percent is None else sight.pressure()
    if pressure is None or limits.pressure_percent is None:
        return None
    return pressure if pressure > limits.pressure_percent else None


def _wait_for_calm(step: Step, sight: Sight, limits: Limits, tell: Tell) -> float | None:
    """Wait until the pressure is below the limit; returns it where it stays above."""
    until = sight.clock() + limits.pause_seconds
    while (pressure := pressure_over(sight, limits)) is not None:
        if sight.clock() >= until:
            return pressure
        unit = f"paused, for memory pressure is {pressure:.0f} %"
        tell(StepProgress(step=step, done=0, total=None, unit=unit))
        sight.sleep(_LOOK_EVERY)
    return None


def _too_much(what: str, limits: Limits) -> Refused:
    return Refused(
        reason=f"{what} (the limit is {limits.pressure_percent:.0f} %, see --brake)", ends_run=True
    )
