"""How long a block may be stuck, by the time that is left."""

import pytest

from memhp.core.limits import Limits


@pytest.mark.parametrize(
    ("limits", "left", "stall"),
    [
        (Limits(), None, 60),
        (Limits(), 20, 60),
        (Limits(stall_share=1 / 8), None, 60),
        (Limits(stall_share=1 / 8), 40, 5),
        (Limits(stall_share=1 / 8), 8, 2),
        (Limits(stall_share=1 / 8), -1, 2),
        (Limits(stall_share=1 / 8), 4000, 60),
        (Limits(stall_share=1 / 8, stall_seconds=None), 40, 5),
        (Limits(stall_seconds=None), 40, None),
    ],
)
def test_a_stall(limits: Limits, left: float | None, stall: float | None) -> None:
    bound = limits.with_left(left)
    assert (bound.stall_seconds, bound.stall_share) == (stall, None)
    assert (bound.pressure_percent, bound.pause_seconds) == (40, 60)
