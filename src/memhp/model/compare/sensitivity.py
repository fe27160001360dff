"""How far the figures reach when every parameter is halved and doubled, and what then changes."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cmp_to_key
from itertools import combinations
from math import inf, isfinite
from typing import Final

from memhp.model.compare.costs import Costs
from memhp.model.compare.facts import Combination, Facts
from memhp.model.compare.figures import Figures, Latencies, figures_of, mean_latency_ns

FACTORS: Final = (0.5, 2.0)
_SAME: Final = 1e-3
"""Figures that differ by less than this share of them stand side by side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A figure: its mean over the seeds, and the least and the most of all seeds and variations."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """An order of combinations, best first, and the variations under which any two change places.

    ``changed_by`` holds a parameter and its factor, as ``share_walks x 2``.
    """

    order: tuple[Combination, ...]
    changed_by: tuple[str, ...]


Runs = Mapping[Combination, Sequence[Facts]]
Measure = Callable[[Figures], float]


def latency_of(figures: Figures) -> float:
    """Rank by mean access latency: less is better."""
    return figures.latency_ns


def time_of(figures: Figures) -> float:
    """The time that all of it takes, in seconds."""
    return figures.seconds


def time_per_gib_of(figures: Figures) -> float:
    """Rank by the time that a GiB takes that comes out: less is better, none out is worst."""
    return figures.seconds / figures.out_gib if figures.out_gib else inf


def variations(costs: Costs) -> Iterator[tuple[str, Costs]]:
    """Every parameter by each factor, one at a time, with what to call it."""
    for parameter in costs:
        for factor in FACTORS:
            name = f"{parameter.name} x {factor:g}"
            yield name, costs.scaled(parameter.name, factor)


def scaled_latencies(latencies: Latencies | None, name: str) -> Latencies | None:
    """An HMAT's latencies under a variation: the own node's, or what another's take on top."""
    parameter, _, factor = name.partition(" x ")
    if latencies is None or parameter not in {"local_ns", "remote_extra_ns"}:
        return latencies
    local = float(factor) if parameter == "local_ns" else 1.0
    extra = 1.0 if parameter == "local_ns" else float(factor)
    own = {user: ns for (user, home), ns in latencies.items() if user == home}
    return {
        (user, home): own[user] * local + (ns - own[user]) * extra
        for (user, home), ns in latencies.items()
        if user in own
    }


def interval_of(
    runs: Sequence[Facts], costs: Costs, measure: Measure, latencies: Latencies | None = None
) -> Interval:
    """A figure of one combination over its seeds and all variations of the parameters."""
    plain = [measure(figures_of(facts, costs, latencies)) for facts in runs]
    varied = [
        measure(figures_of(facts, other, scaled_latencies(latencies, name)))
        for name, other in variations(costs)
        for facts in runs
    ]
    both = plain + varied
    return Interval(mean=sum(plain) / len(plain), low=min(both), high=max(both))


def ratio_interval(
    runs: Sequence[Facts],
    base: Sequence[Facts],
    costs: Costs,
    latencies: Latencies | None = None,
) -> Interval:
    """Mean access latency as a multiple of another combination's, seed by seed."""
    plain = list(_ratios(runs, base, costs, latencies))
    varied = [
        ratio
        for name, other in variations(costs)
        for ratio in _ratios(runs, base, other, scaled_latencies(latencies, name))
    ]
    both = plain + varied
    return Interval(mean=_mean(plain), low=min(both), high=max(both))


def _ratios(
    runs: Sequence[Facts], base: Sequence[Facts], costs: Costs, latencies: Latencies | None
) -> Iterator[float]:
    for one, other in zip(runs, base, strict=True):
        mine = mean_latency_ns(one.placed, costs, latencies)
        yield mine / mean_latency_ns(other.placed, costs, latencies)


def ranking_of(
    runs: Runs, costs: Costs, measure: Measure, latencies: Latencies | None = None
) -> Ranking:
    """Order the combinations by their means, and name what changes the order."""
    plain = _means(runs, costs, measure, latencies)

    def apart(one: Combination, other: Combination) -> int:
        return _sign(plain[one], plain[other])

    return Ranking(
        order=tuple(sorted(plain, key=cmp_to_key(apart))),
        changed_by=tuple(
            name
            for name, other in variations(costs)
            if _differs(plain, _means(runs, other, measure, scaled_latencies(latencies, name)))
        ),
    )


def _means(
    runs: Runs, costs: Costs, measure: Measure, latencies: Latencies | None
) -> dict[Combination, float]:
    return {
        combination: _mean(measure(figures_of(facts, costs, latencies)) for facts in of_it)
        for combination, of_it in runs.items()
    }


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found)


def _differs(one: Mapping[Combination, float], other: Mapping[Combination, float]) -> bool:
    """Whether any two that stand apart in one order stand the other way round in the other."""
    return any(
        _sign(one[a], one[b]) * _sign(other[a], other[b]) < 0 for a, b in combinations(one, 2)
    )


def _sign(a: float, b: float) -> int:
    if a == b or (isfinite(a - b) and abs(a - b) <= _SAME * max(abs(a), abs(b))):
        return 0
    return 1 if a > b else -1
