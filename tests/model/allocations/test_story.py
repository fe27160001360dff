"""A trace with gaps becomes a story without."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from memhp.model.allocations.events import (
    Allocated,
    Freed,
    PageEvent,
    PageFlag,
    can_move,
    is_free,
    pages_of_event,
    runs_of,
)
from memhp.model.allocations.story import GFP_VMALLOC, tell_story

FREE = int(PageFlag.BUDDY)
HELD = 0
SLAB = int(PageFlag.SLAB)


def given_page(pfn: int, order: int = 0) -> Allocated:
    return Allocated(pfn, order, GFP_VMALLOC, 0)


def unseen(pfn: int) -> Allocated:
    return Allocated(pfn, 0, GFP_VMALLOC, 0, traced=False)


def test_a_trace_without_gaps_stays_as_it_is() -> None:
    events: list[PageEvent] = [given_page(1), Freed(1, 0), given_page(2, 1)]
    story = tell_story(events, [FREE, FREE, SLAB, SLAB])
    assert (story.start, list(story.events)) == ((), events)
    assert (story.untraced, story.overlaps) == (0, 0)


def test_what_is_freed_first_was_held_before() -> None:
    story = tell_story([Freed(4, 2)], [FREE] * 8)
    assert story.start == ((4, 4),)


def test_what_has_no_event_and_is_held_was_held_before() -> None:
    reserved = int(PageFlag.RESERVED)
    assert tell_story([], [FREE, reserved, reserved, FREE, SLAB]).start == ((1, 2), (4, 1))


def test_a_page_freed_twice_was_given_out_unseen_in_between() -> None:
    story = tell_story([given_page(3), Freed(3, 0), given_page(5), Freed(3, 0)], [FREE] * 5 + [0])
    assert list(story.events) == [
        given_page(3),
        Freed(3, 0),
        given_page(5),
        unseen(3),
        Freed(3, 0),
    ]


def test_a_page_held_at_the_end_was_given_out_beside_its_neighbour() -> None:
    events: list[PageEvent] = [given_page(6), Freed(6, 0), given_page(7), given_page(600)]
    flags = [FREE] * 6 + [HELD, SLAB] + [FREE] * 592 + [SLAB]
    story = tell_story(events, flags)
    assert list(story.events) == [*events[:3], unseen(6), events[3]]


def test_pages_on_per_processor_lists_are_free_though_they_look_held() -> None:
    events: list[PageEvent] = [given_page(pfn) for pfn in (1, 2, 3)]
    events += [Freed(pfn, 0) for pfn in (1, 2, 3)]
    flags = [FREE, HELD, HELD, HELD]
    assert list(tell_story(events, flags, pcp_pages=3).events) == events
    # What was freed last lies on them.
    assert unseen(1) in tell_story(events, flags, pcp_pages=2).events


def test_the_rest_of_a_batch_on_the_lists_was_never_held() -> None:
    flags = [SLAB, *[HELD] * 9, *[FREE] * 502]
    story = tell_story([given_page(0)], flags, pcp_pages=9)
    assert (story.start, story.untraced) == ((), 0)


def test_anonymous_pages_in_a_batch_can_move_and_reserved_ones_cannot() -> None:
    assert can_move(PageFlag.ANON | PageFlag.SWAPBACKED)
    assert not can_move(PageFlag.RESERVED | PageFlag.LRU)
    assert not can_move(SLAB)
    assert is_free(PageFlag.NOPAGE)
    assert not is_free(SLAB)


@given(st.lists(st.integers(0, 60), unique=True).map(sorted))
def test_runs_hold_the_same_numbers(pfns: list[int]) -> None:
    runs = list(runs_of(pfns))
    assert [pfn for first, count in runs for pfn in range(first, first + count)] == pfns
    assert all(one[0] + one[1] < other[0] for one, other in pairwise(runs))


SOME = st.integers(0, 30)


@given(
    st.lists(st.one_of(SOME.map(given_page), SOME.map(lambda pfn: Freed(pfn, 0))), max_size=40),
    st.lists(st.sampled_from([FREE, HELD, SLAB]), min_size=31, max_size=31),
)
def test_a_story_is_consistent(events: list[PageEvent], flags: list[int]) -> None:
    """Whatever was traced: nothing is freed that is not held, and the end is as the flags say."""
    story = tell_story(events, flags)
    held = {pfn for first, count in story.start for pfn in range(first, first + count)}
    for event in story.events:
        if isinstance(event, Allocated):
            held.update(pages_of_event(event))
        else:
            assert held.issuperset(pages_of_event(event))
            held.difference_update(pages_of_event(event))
    assert held.issuperset(pfn for pfn, bits in enumerate(flags) if not is_free(bits))
    assert [event for event in story.events if getattr(event, "traced", True)] == events
