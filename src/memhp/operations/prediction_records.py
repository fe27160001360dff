"""What was predicted of blocks and what then happened, and what follows from both. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Union

from memhp.core.words import ZoneType
from memhp.operations.predict_offline import Answer

_LEAST_FOR_TIME: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicted:
    """A prediction as it was given. ``machine`` is the identity, ``time`` in UTC."""

    time: str
    machine: str
    address: str
    block: int
    zone: ZoneType | None
    answer: Answer
    pages_to_move: int
    because: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """An attempt to take a block offline. ``milliseconds`` is ``None`` where time means nothing."""

    time: str
    machine: str
    block: int
    went: bool
    milliseconds: int | None = None
    reason: str = ""


PredictionRecord = Union[Predicted, Tried]  # noqa: UP007 - read at run time


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A prediction with the attempt that came next at its block; ``None`` where none came."""

    predicted: Predicted
    tried: Tried | None = None

    @property
    def was_right(self) -> bool | None:
        """Whether it came as predicted; ``None`` without an attempt, or without a prediction."""
        if self.tried is None or self.predicted.answer is Answer.UNKNOWN:
            return None
        return (self.predicted.answer is Answer.YES) == self.tried.went


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """How long it will take, by so many offlines that were measured on this machine."""

    milliseconds: int
    measured: int


def judge(records: Iterable[PredictionRecord]) -> tuple[Judged, ...]:
    """Put each attempt to the last prediction before it, in the order of the predictions.

    A block that was asked about several times has its last prediction tried;
    the earlier ones stay without an outcome.
    """
    found: list[Judged] = []
    waiting: dict[tuple[str, int], int] = {}
    for record in records:
        key = (record.machine, record.block)
        if isinstance(record, Predicted):
            waiting[key] = len(found)
            found.append(Judged(predicted=record))
        elif key in waiting:
            place = waiting.pop(key)
            found[place] = Judged(predicted=found[place].predicted, tried=record)
    return tuple(found)


def waiting_blocks(records: Iterable[PredictionRecord], machine: str) -> frozenset[int]:
    """The blocks of a machine whose last prediction was not tried yet."""
    return frozenset(
        judged.predicted.block
        for judged in judge(records)
        if judged.tried is None and judged.predicted.machine == machine
    )


def estimate(judged: Iterable[Judged], address: str, pages_to_move: int) -> Estimate | None:
    """Say how long moving so many pages will take, by what was measured; ``None`` with too little.

    The straight line nearest to what was measured, and never less than nothing.
    """
    points = list(_measured(judged, address))
    if len(points) < _LEAST_FOR_TIME:
        return None
    base, slope = _line(points)
    return Estimate(milliseconds=max(0, round(base + slope * pages_to_move)), measured=len(points))


def _measured(judged: Iterable[Judged], address: str) -> Iterator[tuple[int, int]]:
    for one in judged:
        tried = one.tried
        if tried is None or not tried.went or one.predicted.address != address:
            continue
        if tried.milliseconds is not None:
            yield one.predicted.pages_to_move, tried.milliseconds


def _line(points: Sequence[tuple[int, int]]) -> tuple[float, float]:
    """Base and slope by least squares; more pages never take less time."""
    count = len(points)
    mean_pages = sum(pages for pages, _ in points) / count
    mean_time = sum(time for _, time in points) / count
    spread = sum((pages - mean_pages) ** 2 for pages, _ in points)
    both = sum((pages - mean_pages) * (time - mean_time) for pages, time in points)
    slope = max(0.0, both / spread) if spread else 0.0
    return mean_time - slope * mean_pages, slope
