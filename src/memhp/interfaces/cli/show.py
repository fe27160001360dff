"""Printing plans, outcomes and reports; JSON of the same values."""

import json
import sys
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

from memhp.core.events import Event, PlanStarted, StepEnded, StepProgress, StepStarted
from memhp.core.outcome import Done, Outcome, Partly, Refused, Unanswered
from memhp.core.report import Report
from memhp.core.targets import format_size


def to_json(value: Any) -> Any:
    """Turn our values into what JSON has: a dataclass becomes an object of its fields.

    A value of a union says which it is under ``kind``.
    """
    if is_dataclass(value) and not isinstance(value, type):
        named = {field.name: to_json(getattr(value, field.name)) for field in fields(value)}
        return {"kind": type(value).__name__} | named
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, tuple | list | set | frozenset):
        return [to_json(item) for item in value]
    return value


def print_json(value: Any) -> None:
    """Print one value as JSON, for a person to read too."""
    print(json.dumps(to_json(value), indent=2))


def print_event_line(event: Event) -> None:
    """Print an event as one line of JSON, as it happens."""
    print(json.dumps(to_json(event)), flush=True)


def print_event(event: Event) -> None:
    """Tell a person of an event in a plain line."""
    match event:
        case PlanStarted() | StepStarted() | StepProgress():
            pass
        case StepEnded(step=step, outcome=outcome):
            print(f"{step}: {outcome_words(outcome)}", flush=True)
        case _:
            pass


def outcome_words(outcome: Outcome) -> str:
    """An outcome as a person reads it."""
    match outcome:
        case Done(note=note):
            return f"done, {note}" if note else "done"
        case Refused():
            return f"refused: {outcome.words}"
        case Partly(done_bytes=done, wanted_bytes=wanted, reason=reason):
            return f"partly: {format_size(done)} of {format_size(wanted)}, {reason}"
        case Unanswered(asked=asked):
            return f"asked ({asked}), and no answer came; its outcome is unknown"


def print_report(report: Report) -> None:
    """Sum up on stderr what came of a plan."""
    if report.planned == 0:
        print("nothing to do: everything is so already", file=sys.stderr)
    elif report.planned > 1:
        print(f"{report.done} of {report.planned} steps done", file=sys.stderr)
