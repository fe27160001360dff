"""Values over ranges of integers, kept as runs of equal neighbours.

What the model knows of blocks and pages is mostly the same over long ranges;
cost follows the number of differences and not the size of the machine.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from typing import Generic, NamedTuple, TypeVar

V = TypeVar("V")


class Run(NamedTuple, Generic[V]):
    """``value`` for every integer of ``[start, end)``."""

    start: int
    end: int
    value: V


class RunMap(Generic[V]):
    """A mapping from integers to values; neighbours with equal values are one run."""

    __slots__ = ("_ends", "_starts", "_values")

    def __init__(self, runs: Iterable[tuple[int, int, V]] = ()) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._values: list[V] = []
        for start, end, value in runs:
            self.fill(start, end, value)

    def __iter__(self) -> Iterator[Run[V]]:
        return map(Run, self._starts, self._ends, self._values)

    def __len__(self) -> int:
        """How many runs there are."""
        return len(self._starts)

    def __bool__(self) -> bool:
        return bool(self._starts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RunMap) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"RunMap({[tuple(run) for run in self]})"

    def get(self, number: int) -> V | None:
        """Look up one number; ``None`` where there is no value."""
        index = bisect_right(self._starts, number) - 1
        if index < 0 or number >= self._ends[index]:
            return None
        return self._values[index]

    def __contains__(self, number: int) -> bool:
        index = bisect_right(self._starts, number) - 1
        return index >= 0 and number < self._ends[index]

    def within(self, start: int, end: int) -> Iterator[Run[V]]:
        """Walk the runs that touch ``[start, end)``, cut to it."""
        index = bisect_right(self._ends, start)
        while index < len(self._starts) and self._starts[index] < end:
            yield Run(
                max(start, self._starts[index]), min(end, self._ends[index]), self._values[index]
            )
            index += 1

    def before(self, end: int) -> Iterator[Run[V]]:
        """Walk the runs below ``end``, the highest first, the first one cut to it."""
        index = bisect_left(self._starts, end) - 1
        while index >= 0:
            yield Run(self._starts[index], min(end, self._ends[index]), self._values[index])
            index -= 1

    def count(self, start: int, end: int) -> int:
        """Count the numbers of ``[start, end)`` that have a value."""
        return sum(run.end - run.start for run in self.within(start, end))

    def numbers(self) -> Iterator[int]:
        """Walk every number that has a value, ascending."""
        for start, end in zip(self._starts, self._ends, strict=True):
            yield from range(start, end)

    @property
    def total(self) -> int:
        """How many numbers have a value."""
        return sum(self._ends) - sum(self._starts)

    def clear(self, start: int, end: int) -> None:
        """Take the values of ``[start, end)`` away."""
        if start < end:
            self._cut(start, end, ())

    def fill(self, start: int, end: int, value: V) -> None:
        """Give every number of ``[start, end)`` this value."""
        if start < end:
            self._cut(start, end, ((start, end, value),))

    def _cut(self, start: int, end: int, new: tuple[tuple[int, int, V], ...]) -> None:
        """Replace ``[start, end)`` by ``new`` and merge equal neighbours."""
        low = bisect_left(self._ends, start)
        high = bisect_right(self._starts, end)
        pieces: list[tuple[int, int, V]] = []
        if low < high and self._starts[low] < start:
            pieces.append((self._starts[low], min(start, self._ends[low]), self._values[low]))
        pieces.extend(new)
        if low < high and self._ends[high - 1] > end:
            pieces.append(
                (max(end, self._starts[high - 1]), self._ends[high - 1], self._values[high - 1])
            )
        merged = _merged(pieces)
        self._starts[low:high] = [piece[0] for piece in merged]
        self._ends[low:high] = [piece[1] for piece in merged]
        self._values[low:high] = [piece[2] for piece in merged]


class RangeSet(RunMap[bool]):
    """A set of integers as ranges."""

    __slots__ = ()

    def add(self, start: int, end: int) -> None:
        """Take ``[start, end)`` in."""
        self.fill(start, end, value=True)


def _merged(pieces: list[tuple[int, int, V]]) -> list[tuple[int, int, V]]:
    merged: list[tuple[int, int, V]] = []
    for start, end, value in pieces:
        if merged and merged[-1][1] == start and merged[-1][2] == value:
            merged[-1] = (merged[-1][0], end, value)
        else:
            merged.append((start, end, value))
    return merged
