"""A machine that takes runs of steps as a guest does: it goes on before anybody has heard of it."""

from collections.abc import Callable, Sequence
from typing import Any

from memhp.core.machine import Machine, Tell
from memhp.core.outcome import Done, Outcome
from memhp.core.plan import OfflineBlock, OnlineBlock, Step


class RunTaker:
    """Any machine, its blocks taken in runs; each outcome is told ``late`` steps later."""

    def __init__(self, machine: Machine, late: int = 2) -> None:
        self._machine = machine
        self._late = late

    def __getattr__(self, name: str) -> Any:
        return getattr(self._machine, name)

    def run_of(self, steps: Sequence[Step]) -> int:
        kind = type(steps[0].action)
        if kind not in (OnlineBlock, OfflineBlock):
            return 1
        others = (n for n, step in enumerate(steps) if type(step.action) is not kind)
        return next(others, len(steps))

    def apply_run(
        self,
        steps: Sequence[Step],
        *,
        until: float | None,
        tell: Tell,
        ended: Callable[[Outcome], None],
    ) -> None:
        untold: list[Outcome] = []
        for step in steps:
            untold.append(self._machine.apply(step, until=until, tell=tell))
            if len(untold) > self._late:
                ended(untold.pop(0))
            if untold and not isinstance(untold[-1], Done):
                break
        for outcome in untold:
            ended(outcome)
