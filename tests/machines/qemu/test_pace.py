"""How often a run is asked about: rarely, and never so late that it matters."""

from hypothesis import given
from hypothesis import strategies as st

from memhp.machines.qemu.pace import next_pause

BLOCKS = 8


@given(each=st.floats(0.01, 20), seen_late=st.floats(0, 0.2))
def test_few_questions_and_none_too_late(each: float, seen_late: float) -> None:
    """A run of equal blocks, whose lines can be read."""
    end, now, questions = BLOCKS * each, 0.0, 0
    while now < end:
        ended = [each * n for n in range(1, BLOCKS + 1) if each * n <= now]
        guest = None if not ended else now - seen_late
        now += next_pause(now, ended, BLOCKS - len(ended), guest)
        questions += 1
    assert questions <= 30 + end
    assert now - end <= 0.01 + 0.3 * each + seen_late


@given(end=st.floats(0.001, 600))
def test_without_any_news_it_is_asked_less_and_less(end: float) -> None:
    now, questions = 0.0, 0
    while now < end:
        now += next_pause(now, [], 1)
        questions += 1
    assert questions <= 20 + end
    assert now - end <= max(0.005, min(0.5 * end, 1.0))
