"""How long a change of a running machine may go on, and how much it may hurt."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The bounds of every single write; ``None`` is no bound.

    ``stall_seconds``: a block from which no page has gone for so long is given
    up. ``pressure_percent``: the share of time in which every task that is not
    idle waited for memory (``full avg10`` of ``/proc/pressure/memory``) above
    which nothing goes on; after ``pause_seconds`` of that the run ends.
    """

    stall_seconds: float | None = 60.0
    pressure_percent: float | None = 40.0
    pause_seconds: float = 60.0
