"""What a comparison says: a row for each combination, the rankings, and the anchors."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from memhp.model.compare.anchors import Anchor, remote_walks, without_2mib_range
from memhp.model.compare.costs import Costs
from memhp.model.compare.facts import Access, Combination, Facts
from memhp.model.compare.figures import (
    Latencies,
    figures_of,
    local_share,
    mean_reach_bytes,
    reach_bytes,
)
from memhp.model.compare.policies import NORMAL
from memhp.model.compare.sensitivity import (
    Interval,
    Ranking,
    Runs,
    interval_of,
    latency_of,
    ranking_of,
    ratio_interval,
    time_of,
    time_per_gib_of,
)

K = TypeVar("K")
UNRESTRICTED: Final = Combination(policy=NORMAL, memmap="ordinary", migrate_vmalloc=False)
"""What latencies are told against: nothing is kept from anywhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One combination over all seeds: means, and intervals where costs come in.

    ``out`` is a share of what was meant to come out, with the least and the
    most of the seeds; ``refusals`` counts blocks a seed; ``stuck_free_bytes`` is
    free when kernel pages can no longer be had.
    """

    combination: Combination
    out: Interval
    refusals: Mapping[str, float]
    local: Mapping[Access, float | None]
    latency: Interval
    stuck_free_bytes: float
    direct_map: Mapping[int, float]
    reach_bytes: float
    mean_reach_bytes: float
    moved_user_pages: float
    moved_kernel_pages: float
    seconds: Interval
    missing_pages: float = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The whole result. ``latency`` of a row is a ratio to ``UNRESTRICTED``.

    ``own_workload`` tells whether the workload was that of the machine's description.
    """

    rows: tuple[Row, ...]
    by_latency: Ranking
    by_time: Ranking
    anchors: tuple[Anchor, ...]
    total_bytes: int
    seeds: int
    own_workload: bool = False


def compare(
    runs: Runs,
    asked: Sequence[Combination],
    costs: Costs,
    *,
    latencies: Latencies | None = None,
    tlb_entries: int,
    own_workload: bool = False,
) -> Comparison:
    """Work everything out; ``runs`` has ``UNRESTRICTED`` whether it was asked for or not."""
    base = runs[UNRESTRICTED]
    shown = {combination: runs[combination] for combination in asked}
    return Comparison(
        rows=tuple(_row(shown[c], base, costs, latencies, tlb_entries) for c in asked),
        by_latency=ranking_of(shown, costs, latency_of, latencies),
        by_time=ranking_of(shown, costs, time_per_gib_of, latencies),
        anchors=(remote_walks(costs, latencies), without_2mib_range(base)),
        total_bytes=base[0].total_bytes,
        seeds=len(base),
        own_workload=own_workload,
    )


def _row(
    runs: Sequence[Facts],
    base: Sequence[Facts],
    costs: Costs,
    latencies: Latencies | None,
    tlb_entries: int,
) -> Row:
    shares = [figures_of(facts, costs, latencies).out_share for facts in runs]
    mapped = [facts.direct_map for facts in runs]
    return Row(
        combination=runs[0].combination,
        out=Interval(mean=_mean(shares), low=min(shares), high=max(shares)),
        refusals=_means_by(facts.refusals for facts in runs),
        local={kind: _mean_local(runs, kind) for kind in Access},
        latency=ratio_interval(runs, base, costs, latencies),
        stuck_free_bytes=_mean(facts.stuck_free_bytes for facts in runs),
        direct_map=_means_by(mapped),
        reach_bytes=_mean(reach_bytes(entries, tlb_entries) for entries in mapped),
        mean_reach_bytes=_mean(mean_reach_bytes(entries, tlb_entries) for entries in mapped),
        moved_user_pages=_mean(facts.moved_user_pages for facts in runs),
        moved_kernel_pages=_mean(facts.moved_kernel_pages for facts in runs),
        seconds=interval_of(runs, costs, time_of, latencies),
        missing_pages=_mean(facts.missing_pages for facts in runs),
    )


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found)


def _mean_local(runs: Sequence[Facts], kind: Access) -> float | None:
    shares = [local_share(facts.placed.get(kind, {})) for facts in runs]
    known = [share for share in shares if share is not None]
    return _mean(known) if known else None


def _means_by(counts: Iterable[Mapping[K, int]]) -> dict[K, float]:
    """The mean of each key over all mappings, one that is missing being 0; the most first."""
    total: Counter[K] = Counter()
    number = 0
    for count in counts:
        total.update(count)
        number += 1
    return {key: value / number for key, value in total.most_common()}
