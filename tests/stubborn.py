"""A machine whose kernel answers as it is told to for one block; for the rest it is any other."""

from dataclasses import replace
from typing import Any

from memhp.core.machine import Machine, Tell
from memhp.core.outcome import Outcome
from memhp.core.plan import OfflineBlock, Step
from memhp.core.snapshot import Snapshot, Want
from memhp.core.words import BlockState


class Stubborn:
    """Answers ``outcome`` to whoever takes ``block`` offline, and shows it in ``state`` then."""

    def __init__(
        self, machine: Machine, block: int, outcome: Outcome, state: BlockState | None = None
    ) -> None:
        self._machine = machine
        self._block, self._outcome = block, outcome
        self.state = state
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._machine, name)

    def snapshot(self, want: Want = Want.ALL) -> Snapshot:
        found = self._machine.snapshot(want)
        if self.state is None or not self.asked:
            return found
        blocks = (
            replace(block, state=self.state) if block.block == self._block else block
            for block in found.blocks
        )
        return replace(found, blocks=tuple(blocks))

    def apply(self, step: Step, *, until: float | None, tell: Tell) -> Outcome:
        self.asked.append(str(step))
        if step.action == OfflineBlock(block=self._block):  # type: ignore[arg-type]
            return self._outcome
        return self._machine.apply(step, until=until, tell=tell)
