"""Holding the model against a kernel: a scenario recorded, replayed, and what differs."""

from dataclasses import dataclass
from typing import Any

from memhp.machines.lab.guest import Guest
from memhp.machines.lab.record import Tell, record
from memhp.model.trace.compare import Difference, compare
from memhp.model.trace.predict import predict
from memhp.model.trace.recording import parse_recording
from memhp.model.trace.scenario import Scenario, parse_scenario


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A scenario, the recording that a guest made of it, and where the model says otherwise."""

    scenario: Scenario
    recording: dict[str, Any]
    differences: tuple[Difference, ...]

    def up_to_the_first_difference(self) -> "Judged":
        """The same without the steps after the first that differs."""
        last = min((-1 if d.step is None else d.step for d in self.differences), default=-1)
        recording = self.recording | {"steps": self.recording["steps"][: last + 1]}
        return Judged(
            # What the guest could not be asked is in no recording, and so in no step.
            scenario=parse_scenario(recording, self.scenario.name, self.scenario.guest.kernel),
            recording=recording,
            differences=tuple(d for d in self.differences if d.step is None or d.step <= last),
        )


def judge(scenario: Scenario, guest: Guest, tell: Tell = lambda _what: None) -> Judged:
    """Record a scenario in a guest and replay it on the model.

    Raises ``MachineError`` where the guest cannot be booted or stops answering.
    """
    recording = record(scenario, guest, tell)
    return Judged(
        scenario=scenario,
        recording=recording,
        differences=tuple(differences(recording, scenario.name)),
    )


def differences(recording: dict[str, Any], name: str) -> list[Difference]:
    """Replay a recording; a model that fails on it differs from a kernel that did not."""
    try:
        return compare(recording, predict(parse_recording(recording, name)))
    except Exception as fault:
        # In which step it failed is not known; that it does is what was looked for.
        last = len(recording["steps"]) - 1
        return [Difference(step=last, what="the model fails", recorded=None, modelled=repr(fault))]
