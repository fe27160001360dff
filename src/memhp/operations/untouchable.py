"""What nobody may touch: devices of which something was asked that was not answered yet.

An eject that a guest was told of cannot be withdrawn. Until the guest has
answered, a device, and the blocks in it, may go at any moment.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from memhp.core.errors import AnswerPending
from memhp.core.plan import Plan, Step
from memhp.core.snapshot import Snapshot, Snapshots
from memhp.operations.operation import Key, block_of, key_of_step


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A step of another operation that waits for its answer; ``machine`` is the name used here."""

    machine: str
    step: Step
    operation: str

    def keys(self, snapshots: Snapshots) -> Iterator[Key]:
        """The device, and its blocks; or the block, and its device."""
        own = key_of_step(self.step)
        yield self.machine, own
        snapshot = snapshots.get(self.machine)
        for block in () if snapshot is None else snapshot.blocks:
            if block.device == own:
                yield self.machine, f"memory{block.block}"
            elif block.block == block_of(self.step) and block.device is not None:
                yield self.machine, block.device


def check_touched(plan: Plan, snapshots: Snapshots, pending: tuple[Pending, ...]) -> None:
    """Raise ``AnswerPending`` where a plan touches what waits for an answer."""
    for item in pending:
        keys = frozenset(item.keys(snapshots))
        for step in plan.steps:
            if (step.machine, key_of_step(step)) in keys:
                raise AnswerPending(
                    machine=item.machine,
                    device=_owner(step, snapshots[step.machine]),
                    asked=str(item.step),
                    operation=item.operation,
                )


def _owner(step: Step, snapshot: Snapshot) -> str:
    """The device that a step is about, or the block where it is in none."""
    number = block_of(step)
    found = next((b.device for b in snapshot.blocks if b.block == number), None)
    return found or key_of_step(step)
