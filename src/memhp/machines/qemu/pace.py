"""When to ask a run in the guest again: rarely while it goes on, soon when it should end. Pure.

A question costs the guest's processor two milliseconds or more under
emulation, and a question that comes late costs whoever waits.
"""

from collections.abc import Sequence
from typing import Final

_SHORTEST, _LONGEST = 0.005, 1.0
_OF_WHAT_HAS_PASSED: Final = 0.5
_OF_WHAT_IS_LEFT: Final = 0.8
_RECENT: Final = 4


def next_pause(
    elapsed: float, ended: Sequence[float], left: int, now: float | None = None
) -> float:
    """Seconds until the next question, ``elapsed`` seconds after the beginning.

    ``ended`` are the times, by the guest's clock, at which blocks of the run ended,
    ``left`` how many have not; ``now`` is that clock's time, as far as it is known.
    """
    unknown = max(_SHORTEST, min(elapsed * _OF_WHAT_HAS_PASSED, _LONGEST))
    recent = ended[-_RECENT:]
    if now is None or len(recent) < 2:
        return unknown
    each = (recent[-1] - recent[0]) / (len(recent) - 1)
    expected = recent[-1] + each * left - now
    if expected <= 0:
        # It is late: by how much of a block's time, nobody knows.
        return max(_SHORTEST, min(-expected * _OF_WHAT_HAS_PASSED, each * 0.1, _LONGEST))
    return max(_SHORTEST, min(expected * _OF_WHAT_IS_LEFT, _LONGEST))
