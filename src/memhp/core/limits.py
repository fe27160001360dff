"""How long a change of a running machine may go on, and how much it may hurt."""

from dataclasses import dataclass, replace

_LEAST_STALL_SECONDS = 2.0
"""Shorter than this nobody can tell a block that is stuck from one that is slow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The bounds of every single write; ``None`` is no bound.

    ``stall_seconds``: a block from which no page has gone for so long is given
    up, ``stall_share`` the same as a share of the time that is left until a
    deadline, so that one block does not use up the time of the others.
    ``pressure_percent``: the share of time in which every task that is not
    idle waited for memory (``full avg10`` of ``/proc/pressure/memory``) above
    which nothing goes on; after ``pause_seconds`` of that the run ends.
    """

    stall_seconds: float | None = 60.0
    stall_share: float | None = None
    pressure_percent: float | None = 40.0
    pause_seconds: float = 60.0

    def with_left(self, seconds: float | None) -> "Limits":
        """The same in seconds alone, where so many are left; ``None`` is without a deadline."""
        if seconds is None or self.stall_share is None:
            return replace(self, stall_share=None)
        share = max(_LEAST_STALL_SECONDS, seconds * self.stall_share)
        stall = share if self.stall_seconds is None else min(self.stall_seconds, share)
        return replace(self, stall_seconds=stall, stall_share=None)
