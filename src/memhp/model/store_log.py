"""What was done to a model machine, row by row, as its state file keeps it."""

import sqlite3
from dataclasses import dataclass
from datetime import datetime

from memhp.model.codec import CodecError
from memhp.model.kernel import Kernel
from memhp.model.persist import fold_uevents, unfold_uevents
from memhp.model.uevents import Uevent


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRow:
    """One thing that was done: ``number`` counts from 1, ``part`` is a guest or empty.

    ``messages`` are what the kernel wrote into its own log.
    """

    number: int
    time: datetime
    part: str
    asked: str
    outcome: str
    uevents: tuple[Uevent, ...]
    messages: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """What was asked of a machine, or of its guest ``part``, and what came of it."""

    part: str
    asked: str
    outcome: str
    uevents: tuple[Uevent, ...]
    messages: tuple[str, ...]


def deed_of(kernel: Kernel, *, part: str, asked: str, outcome: str) -> Deed:
    """What was asked, with all that the kernel sent and wrote since it was loaded."""
    return Deed(
        part=part,
        asked=asked,
        outcome=outcome,
        uevents=tuple(kernel.uevents),
        messages=tuple(kernel.log),
    )


def write_row(connection: sqlite3.Connection, deed: Deed, time: datetime) -> None:
    """Add a row for what was done."""
    connection.execute(
        "INSERT INTO log (time, part, asked, outcome, uevents, messages) VALUES (?, ?, ?, ?, ?, ?)",
        (
            time.isoformat(timespec="seconds"),
            deed.part,
            _one_line(deed.asked),
            _one_line(deed.outcome),
            fold_uevents(deed.uevents),
            "\n".join(_one_line(message) for message in deed.messages),
        ),
    )


def read_rows(connection: sqlite3.Connection) -> tuple[LogRow, ...]:
    """Read every row, the oldest first; raises ``CodecError``."""
    rows = connection.execute(
        "SELECT number, time, part, asked, outcome, uevents, messages FROM log ORDER BY number"
    )
    return tuple(_row(row) for row in rows.fetchall())


def _row(row: tuple[int, str, str, str, str, str, str]) -> LogRow:
    number, time, part, asked, outcome, uevents, messages = row
    try:
        at = datetime.fromisoformat(time)
    except (ValueError, TypeError) as err:
        raise CodecError(f"row {number} of the log is damaged") from err
    if not all(isinstance(text, str) for text in row[1:]):
        raise CodecError(f"row {number} of the log is damaged")
    return LogRow(
        number=number,
        time=at,
        part=part,
        asked=asked,
        outcome=outcome,
        uevents=unfold_uevents(uevents),
        messages=tuple(messages.splitlines()),
    )


def _one_line(text: str) -> str:
    """Text that a shell was given may hold anything: bytes that are no text, escapes, lines."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
