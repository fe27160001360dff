"""What becomes of blocks that somebody asked about, written down while an operation runs."""

import time
from datetime import UTC, datetime

from memhp.core.errors import JournalError
from memhp.core.events import Event, PlanStarted, StepEnded, StepStarted
from memhp.core.evidence import LooksInside
from memhp.core.machine import Machine
from memhp.core.outcome import Done, Refused
from memhp.core.plan import OfflineBlock, Step
from memhp.interfaces.cli.state_folder import state_folder
from memhp.operations.converge import Machines
from memhp.operations.prediction_records import Tried, waiting_blocks
from memhp.operations.prediction_store import PredictionStore

_LIVE = "linux:"


class Attempts:
    """Keeps the outcome of each step that takes an explained block offline."""

    def __init__(self, machines: Machines) -> None:
        self._machines = machines
        self._store = PredictionStore(state_folder())
        self._began: dict[Step, float] = {}
        self._identities: dict[str, str] = {}
        self._waiting: dict[str, set[int]] = {}

    def __call__(self, event: Event) -> None:
        """Hear of an event; that nothing can be kept is no reason to stop."""
        match event:
            case PlanStarted():
                # Later it may not be asked: a machine can be in the midst of something.
                self._identities = {
                    name: machine.identity
                    for name, machine in self._machines.items()
                    if isinstance(machine, LooksInside)
                }
            case StepStarted(step=step) if isinstance(step.action, OfflineBlock):
                self._began[step] = time.monotonic()
            case StepEnded(step=step, found=False) if isinstance(step.action, OfflineBlock):
                seconds = time.monotonic() - self._began.pop(step, time.monotonic())
                try:
                    self._keep(event, step.action.block, self._machines[step.machine], seconds)
                except JournalError:
                    return

    def _keep(self, event: StepEnded, block: int, machine: Machine, seconds: float) -> None:
        identity = self._identities.get(event.step.machine)
        if identity is None or not isinstance(event.outcome, Done | Refused):
            return
        waiting = self._waiting_of(identity)
        if block not in waiting:
            return
        waiting.remove(block)
        reason = event.outcome.words if isinstance(event.outcome, Refused) else ""
        tried = Tried(
            time=now(),
            machine=identity,
            block=block,
            went=isinstance(event.outcome, Done),
            # A model's time is nobody's.
            milliseconds=round(seconds * 1000) if machine.address == _LIVE else None,
            reason=reason,
        )
        self._store.append([tried])

    def _waiting_of(self, identity: str) -> set[int]:
        """The blocks that were asked about, read once: nobody asks in the middle of it."""
        found = self._waiting.get(identity)
        if found is None:
            found = set(waiting_blocks(self._store.records(), identity))
            self._waiting[identity] = found
        return found


def now() -> str:
    """The time as the records have it."""
    return datetime.now(UTC).isoformat(timespec="seconds")
