"""Printing plans, outcomes and reports; JSON of the same values."""

import json
from typing import Any

from memhp.core.changes import BlockChange
from memhp.core.events import Event
from memhp.core.outcome import Done, Outcome, Partly, Refused, Unanswered
from memhp.core.plan import Step
from memhp.core.targets import format_size
from memhp.core.values_json import to_json


def printable(text: str) -> str:
    """Text on one line that any terminal takes, whatever it is made of."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def print_json(value: Any) -> None:
    """Print one value as JSON, for a person to read too."""
    print(json.dumps(to_json(value), indent=2))


def print_event_line(event: Event | BlockChange) -> None:
    """Print an event as one line of JSON, as it happens."""
    print(json.dumps(to_json(event)), flush=True)


def step_words(step: Step, *, several: bool) -> str:
    """A step as a person reads it, with its machine where there are several."""
    return f"{step.machine}: {step}" if several else str(step)


def outcome_words(outcome: Outcome) -> str:
    """An outcome as a person reads it."""
    match outcome:
        case Done(note=note):
            return f"done, {note}" if note else "done"
        case Refused():
            return f"refused: {outcome.words}"
        case Partly(done_bytes=done, wanted_bytes=wanted, reason=reason):
            return f"partly: {format_size(done)} of {format_size(wanted)}, {reason}"
        case Unanswered(why=why) if why:
            return f"{why}; its outcome is unknown"
        case Unanswered(asked=asked):
            return f"asked ({asked}), and no answer came; its outcome is unknown"
