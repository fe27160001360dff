"""Ranges of addresses, and lists of numbers as the kernel prints them."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memhp.core.geometry import BlockId
from memhp.core.ranges import PhysRange, format_blocks, format_list, parse_list, runs_of

ends = st.tuples(st.integers(0, 200), st.integers(0, 200)).filter(lambda pair: pair[0] != pair[1])
ranges = ends.map(lambda pair: PhysRange(start=min(pair), end=max(pair)))
numbers = st.sets(st.integers(0, 60))


def addresses(one: PhysRange) -> set[int]:
    return set(range(one.start, one.end))


def test_three_ways_to_say_one_range() -> None:
    expected = PhysRange(start=0x1000, end=0x3000)
    assert PhysRange.at(0x1000, 0x2000) == expected
    assert PhysRange.inclusive(0x1000, 0x2FFF) == expected
    assert (str(expected), expected.size_bytes) == ("0x1000-0x2fff", 0x2000)


@pytest.mark.parametrize(("start", "end"), [(0, 0), (5, 5), (5, 4), (-1, 4), (-4, -1)])
def test_no_range_is_empty_or_below_zero(start: int, end: int) -> None:
    with pytest.raises(ValueError, match="no range"):
        PhysRange(start=start, end=end)


@given(ranges, st.integers(-2, 202))
def test_a_range_holds_its_addresses(one: PhysRange, address: int) -> None:
    assert (address in one) is (address in addresses(one))
    assert one.size_bytes == len(addresses(one))


@given(ranges, ranges)
def test_ranges_overlap_where_they_share_an_address(one: PhysRange, other: PhysRange) -> None:
    assert one.overlaps(other) is bool(addresses(one) & addresses(other))
    assert one.overlaps(other) is other.overlaps(one)


@given(ranges, ranges)
def test_ranges_sort_by_start_and_then_end(one: PhysRange, other: PhysRange) -> None:
    assert (one < other) is ((one.start, one.end) < (other.start, other.end))


@given(ranges, st.integers(1, 32))
def test_blocks_within_and_touched(one: PhysRange, block_size_bytes: int) -> None:
    blocks = {
        number: set(range(number * block_size_bytes, (number + 1) * block_size_bytes))
        for number in range(202)
    }
    within = [n for n, block in blocks.items() if block <= addresses(one)]
    touched = [n for n, block in blocks.items() if block & addresses(one)]
    assert list(one.blocks_within(block_size_bytes)) == within
    assert list(one.blocks_touched(block_size_bytes)) == touched


@pytest.mark.parametrize(
    ("chosen", "runs"),
    [
        ([], []),
        ([0], [(0, 0)]),
        ([0, 1, 2], [(0, 2)]),
        ([1, 3, 4, 9], [(1, 1), (3, 4), (9, 9)]),
    ],
    ids=["none", "one", "run", "several"],
)
def test_runs(chosen: list[int], runs: list[tuple[int, int]]) -> None:
    assert list(runs_of(chosen)) == runs


@given(numbers)
def test_runs_are_the_numbers_and_as_few_as_can_be(chosen: set[int]) -> None:
    runs = list(runs_of(sorted(chosen)))
    assert [n for first, last in runs for n in range(first, last + 1)] == sorted(chosen)
    assert all(first > last + 1 for (_, last), (first, _) in pairwise(runs))


@pytest.mark.parametrize(
    ("chosen", "text"), [([], ""), ([7], "7"), ([0, 1, 2, 3, 8], "0-3,8"), ([1, 2], "1-2")]
)
def test_how_lists_print(chosen: list[int], text: str) -> None:
    assert format_list(chosen) == text
    assert format_blocks(map(BlockId, chosen)) == f"memory{text}"


@given(numbers)
def test_lists_read_as_they_print(chosen: set[int]) -> None:
    assert parse_list(format_list(sorted(chosen)) + "\n") == tuple(sorted(chosen))


@pytest.mark.parametrize(
    ("text", "chosen"), [("", ()), ("\n", ()), ("0\n", (0,)), ("0-1,4", (0, 1, 4)), ("3-3", (3,))]
)
def test_what_the_kernel_prints(text: str, chosen: tuple[int, ...]) -> None:
    assert parse_list(text) == chosen


@pytest.mark.parametrize(
    "text",
    ["x", "1-", "-1", "1,", ",", "1,,2", "1 2", "1, 2", "3-1", "1-2-3", "1_0", "+1", "0x1",
     "\u0663", "(null)", "9" * 5000, "0-99999999999"],
)  # fmt: skip
def test_what_is_no_list(text: str) -> None:
    with pytest.raises(ValueError, match="no list of numbers"):
        parse_list(text)


@pytest.mark.parametrize("text", ["0-999999", ",".join(["0-999"] * 1000)])
def test_a_list_is_no_longer_than_any_machine_needs(text: str) -> None:
    with pytest.raises(ValueError, match="more numbers than any machine has"):
        parse_list(text)


@given(st.text("0123456789-, \n", max_size=12) | st.text(max_size=12))
def test_any_text_is_a_list_or_a_value_error(text: str) -> None:
    try:
        chosen = parse_list(text)
    except ValueError:
        return
    ascending = tuple(sorted(set(chosen)))
    assert parse_list(format_list(ascending)) == ascending
