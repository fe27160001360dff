"""Runs of equal neighbours, against a plain dictionary and plain sets."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from memhp.model.runs import RangeSet, Run, RunMap

END = 30
bounds = st.tuples(st.integers(0, END), st.integers(0, END)).map(sorted).map(tuple)
fills = st.lists(st.tuples(st.integers(0, END), st.integers(0, END), st.integers(0, 2)), max_size=8)


def as_dict(runs: RunMap[int]) -> dict[int, int]:
    return {number: run.value for run in runs for number in range(run.start, run.end)}


class AgainstADictionary(RuleBasedStateMachine):
    """Any order of fills and clears leaves what a dictionary holds, in as few runs as can be."""

    def __init__(self) -> None:
        super().__init__()
        self.runs: RunMap[int] = RunMap()
        self.plain: dict[int, int] = {}

    @rule(place=bounds, value=st.integers(0, 2))
    def fill(self, place: tuple[int, int], value: int) -> None:
        self.runs.fill(*place, value)
        self.plain.update(dict.fromkeys(range(*place), value))

    @rule(place=bounds)
    def clear(self, place: tuple[int, int]) -> None:
        self.runs.clear(*place)
        self.plain = {n: value for n, value in self.plain.items() if n not in range(*place)}

    @rule(place=bounds)
    def look(self, place: tuple[int, int]) -> None:
        inside = {n: value for n, value in self.plain.items() if n in range(*place)}
        assert as_dict(RunMap(self.runs.within(*place))) == inside
        assert self.runs.count(*place) == len(inside)

    @rule(end=st.integers(0, END + 1))
    def look_back(self, end: int) -> None:
        below = list(self.runs.before(end))
        assert below == list(self.runs.within(0, end))[::-1]

    @invariant()
    def holds_the_same(self) -> None:
        assert as_dict(self.runs) == self.plain
        assert list(self.runs.numbers()) == sorted(self.plain)
        assert self.runs.total == len(self.plain)
        assert bool(self.runs) is bool(self.plain)
        for number in range(-1, END + 2):
            assert self.runs.get(number) == self.plain.get(number)
            assert (number in self.runs) is (number in self.plain)

    @invariant()
    def is_as_short_as_can_be(self) -> None:
        runs = list(self.runs)
        assert len(self.runs) == len(runs)
        assert all(run.start < run.end for run in runs)
        for one, two in pairwise(runs):
            assert one.end < two.start or (one.end == two.start and one.value != two.value)


TestAgainstADictionary = AgainstADictionary.TestCase


@given(fills)
def test_later_fills_win(chosen: list[tuple[int, int, int]]) -> None:
    plain: dict[int, int] = {}
    for start, end, value in chosen:
        plain.update(dict.fromkeys(range(start, end), value))
    assert as_dict(RunMap(chosen)) == plain


@given(fills, fills)
def test_maps_are_equal_where_they_hold_the_same(
    one: list[tuple[int, int, int]], other: list[tuple[int, int, int]]
) -> None:
    first, second = RunMap(one), RunMap(other)
    assert (first == second) is (as_dict(first) == as_dict(second))
    assert RunMap(first) == first


@given(st.lists(bounds, max_size=6), st.lists(bounds, max_size=6))
def test_range_sets_are_sets(added: list[tuple[int, int]], taken: list[tuple[int, int]]) -> None:
    ranges = RangeSet()
    plain: set[int] = set()
    for place in added:
        ranges.add(*place)
        plain |= set(range(*place))
    for place in taken:
        ranges.clear(*place)
        plain -= set(range(*place))
    assert list(ranges.numbers()) == sorted(plain)
    assert all(run.value is True for run in ranges)


def test_neighbours_with_one_value_are_one_run() -> None:
    runs: RunMap[str] = RunMap([(0, 2, "a"), (4, 6, "a"), (2, 4, "a"), (6, 8, "b")])
    assert list(runs) == [Run(0, 6, "a"), Run(6, 8, "b")]
    assert repr(runs) == "RunMap([(0, 6, 'a'), (6, 8, 'b')])"


def test_what_is_looked_at_is_cut_to_the_range() -> None:
    runs = RunMap([(0, 4, "a"), (6, 9, "b"), (9, 20, "c")])
    assert list(runs.within(2, 12)) == [Run(2, 4, "a"), Run(6, 9, "b"), Run(9, 12, "c")]
    assert list(runs.within(4, 6)) == []
    assert list(runs.within(5, 5)) == []
    assert list(runs.before(8)) == [Run(6, 8, "b"), Run(0, 4, "a")]
    assert list(runs.before(0)) == []


def test_a_map_equals_nothing_else() -> None:
    assert RunMap([(0, 1, 1)]) != {0: 1}
