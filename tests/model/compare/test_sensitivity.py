"""Intervals over seeds and variations, and what changes a ranking."""

import pytest

from compare_facts import MOVABLE, NODE0, NODE1, NORMAL, facts, movable
from memhp.model.compare.comparison import UNRESTRICTED, compare
from memhp.model.compare.costs import shipped_costs
from memhp.model.compare.sensitivity import (
    interval_of,
    latency_of,
    ranking_of,
    ratio_interval,
    scaled_latencies,
    time_of,
    time_per_gib_of,
    variations,
)

COSTS = shipped_costs()
SEEDS = (1, 2, 3)


def test_every_parameter_is_halved_and_doubled_alone() -> None:
    names = [parameter.name for parameter in COSTS]
    varied = dict(variations(COSTS))
    assert list(varied) == [f"{name} x {factor}" for name in names for factor in ("0.5", "2")]
    for name, costs in varied.items():
        changed = [p.name for p in costs if p.value != COSTS[p.name]]
        assert changed == [name.partition(" ")[0]]


def test_an_interval_holds_the_mean_and_grows_with_the_seeds() -> None:
    runs = [facts(seed=seed, moved_user_pages=1000 * seed) for seed in SEEDS]
    interval = interval_of(runs, COSTS, time_of)
    one = interval_of(runs[:1], COSTS, time_of)
    assert interval.low <= interval.mean <= interval.high
    assert interval.high > one.high


def test_a_ratio_of_the_same_is_one_whatever_varies() -> None:
    runs = [facts(seed=seed) for seed in SEEDS]
    interval = ratio_interval(runs, runs, COSTS)
    assert (interval.low, interval.mean, interval.high) == (1, 1, 1)


def test_farther_kernel_memory_is_slower_whatever_varies() -> None:
    base, runs = [facts(seed=s) for s in SEEDS], [movable(seed=s) for s in SEEDS]
    interval = ratio_interval(runs, base, COSTS)
    assert 1 < interval.low < interval.mean < interval.high
    assert ranking_of({NORMAL: base, MOVABLE: runs}, COSTS, latency_of).changed_by == ()


def test_what_turns_a_ranking_round_is_named() -> None:
    few_blocks = [facts(blocks_out=1, moved_user_pages=1000, shootdowns=0)]
    many_blocks = [movable(blocks_out=4, moved_user_pages=0, shootdowns=0)]
    ranking = ranking_of({NORMAL: few_blocks, MOVABLE: many_blocks}, COSTS, time_per_gib_of)
    assert ranking.order == (MOVABLE, NORMAL)
    assert ranking.changed_by == ("migrate_page_ns x 0.5", "block_ns x 2")


def test_what_never_comes_out_takes_longest() -> None:
    stays = [movable(out_bytes=0, moved_user_pages=0, shootdowns=0, blocks_out=0)]
    ranking = ranking_of({MOVABLE: stays, NORMAL: [facts()]}, COSTS, time_per_gib_of)
    assert (ranking.order, ranking.changed_by) == ((NORMAL, MOVABLE), ())


def test_an_hmat_is_varied_as_the_table_is() -> None:
    latencies = {(NODE0, NODE0): 100.0, (NODE0, NODE1): 160.0}
    assert scaled_latencies(latencies, "remote_extra_ns x 2") == {
        (NODE0, NODE0): 100.0,
        (NODE0, NODE1): 220.0,
    }
    assert scaled_latencies(latencies, "local_ns x 0.5") == {
        (NODE0, NODE0): 50.0,
        (NODE0, NODE1): 110.0,
    }
    assert scaled_latencies(latencies, "block_ns x 2") is latencies
    assert scaled_latencies(None, "local_ns x 2") is None


def test_a_comparison_has_a_row_for_each_that_was_asked_for() -> None:
    runs = {UNRESTRICTED: [facts()], MOVABLE: [movable()]}
    result = compare(runs, [MOVABLE], COSTS, tlb_entries=64)
    [row] = result.rows
    assert row.combination == MOVABLE
    assert row.latency.mean > 1
    assert row.out.mean == pytest.approx(0.25)
    assert result.by_latency.order == (MOVABLE,)
