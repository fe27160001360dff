"""Room in the table of holders: many regions are taken as one after another."""

from hypothesis import given
from hypothesis import strategies as st

from memhp.model.pages.room import Room

SLOTS = 1 << 20
units = st.lists(st.integers(1, 3), max_size=12)
alike = st.builds(lambda size, number: [size] * number, st.integers(1, 3), st.integers(0, 12))


@given(dying=units, batches=st.lists(st.one_of(units, alike), max_size=6))
def test_many_at_once_are_as_one_by_one(dying: list[int], batches: list[list[int]]) -> None:
    at_once, one_by_one = Room(SLOTS), Room(SLOTS)
    for room in (at_once, one_by_one):
        for first, size in [(room.take(size), size) for size in dying]:
            room.give(first, size)
    for batch in batches:
        assert at_once.take_each(batch) == [one_by_one.take(size) for size in batch]
        assert at_once.regions() == one_by_one.regions()
        assert (at_once.next_slot, at_once.dead_slots) == (
            one_by_one.next_slot,
            one_by_one.dead_slots,
        )
