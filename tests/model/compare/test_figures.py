"""Figures from counts and costs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compare_facts import HALF, LOCAL, NODE0, NODE1, facts, movable
from memhp.core.acpi.hmat import Hmat, LatencyBandwidth
from memhp.core.geometry import GIB, MIB
from memhp.model.compare.anchors import MITOSIS_MOST, remote_walks, without_2mib_range
from memhp.model.compare.costs import Costs, shipped_costs
from memhp.model.compare.facts import Access
from memhp.model.compare.figures import (
    access_shares,
    figures_of,
    local_share,
    mean_latency_ns,
    mean_reach_bytes,
    reach_bytes,
    seconds_of,
)
from memhp.model.compare.latencies import are_complete, latencies_of

COSTS = shipped_costs()
HMAT = Hmat(
    entries=(
        LatencyBandwidth(
            data_type=0,
            base_unit=1000,
            initiators=(0, 1),
            targets=(0, 1),
            values=((100, 180), (190, 110)),
        ),
    )
)


def test_all_local_costs_what_the_own_node_costs() -> None:
    assert mean_latency_ns(facts().placed, COSTS) == pytest.approx(COSTS["local_ns"])


def test_each_kind_counts_by_its_share_of_accesses() -> None:
    shares = access_shares(COSTS)
    far = 0.5 * (1 - shares[Access.USER])
    wanted = COSTS["local_ns"] + far * COSTS["remote_extra_ns"]
    assert mean_latency_ns(movable().placed, COSTS) == pytest.approx(wanted)


def test_shares_of_accesses_are_one_together() -> None:
    assert sum(access_shares(COSTS).values()) == pytest.approx(1)


def test_a_kind_without_pages_is_left_out() -> None:
    placed = {Access.USER: LOCAL, Access.SLAB: {}}
    assert mean_latency_ns(placed, COSTS) == pytest.approx(COSTS["local_ns"])
    assert mean_latency_ns({}, COSTS) == COSTS["local_ns"]


def test_an_hmat_comes_before_the_table() -> None:
    latencies = latencies_of(HMAT)
    assert latencies == {
        (NODE0, NODE0): 100.0,
        (NODE0, NODE1): 180.0,
        (NODE1, NODE0): 190.0,
        (NODE1, NODE1): 110.0,
    }
    assert mean_latency_ns({Access.USER: HALF}, COSTS, latencies) == pytest.approx(145)
    assert are_complete(latencies, (NODE0, NODE1))


def test_an_hmat_without_latencies_gives_none() -> None:
    assert latencies_of(Hmat()) == {}
    assert not are_complete({}, (NODE0,))


def test_local_share() -> None:
    assert local_share(HALF) == 0.5
    assert local_share({}) is None


def test_time_counts_copies_shootdowns_stalls_splits_and_blocks() -> None:
    costs = Costs({p.name: p for p in COSTS})
    for number, name in enumerate(
        (
            "copy_page_ns",
            "migrate_page_ns",
            "shootdown_base_ns",
            "shootdown_cpu_ns",
            "stall_page_ns",
            "split_entry_ns",
            "block_ns",
        )
    ):
        costs = costs.with_value(name, 10**number)
    one = facts(
        cpus=3,
        moved_user_pages=5,
        moved_kernel_pages=2,
        shootdowns=4,
        split_entries=3,
        blocks_out=6,
    )
    wanted = 7 * 1 + 5 * 10 + 4 * (100 + 2 * 1000) + 2 * 10**4 + 3 * 10**5 + 6 * 10**6
    assert seconds_of(one, costs) == pytest.approx(wanted / 1e9)


def test_nothing_out_of_nothing() -> None:
    assert figures_of(facts(total_bytes=0, out_bytes=0), COSTS).out_share == 0


ENTRIES = st.dictionaries(st.sampled_from([4096, 2 * MIB, GIB]), st.integers(0, 5000))


def test_reach_takes_the_largest_entries_first() -> None:
    assert reach_bytes({2 * MIB: 512, GIB: 3}, 10) == 3 * GIB + 7 * 2 * MIB
    assert reach_bytes({4096: 5}, 100) == 5 * 4096


def test_what_fits_is_covered_however_it_is_used() -> None:
    fits = {2 * MIB: 512, GIB: 3}
    assert mean_reach_bytes(fits, 515) == 512 * 2 * MIB + 3 * GIB
    # The three large ones are always there, and 97 of the 512 others.
    assert mean_reach_bytes(fits, 100) == 3 * GIB + 97 * 2 * MIB


@given(ENTRIES, st.integers(1, 4000))
def test_reach_is_bounded(direct_map: dict[int, int], entries: int) -> None:
    mapped = sum(size * count for size, count in direct_map.items())
    best = reach_bytes(direct_map, entries)
    assert mean_reach_bytes(direct_map, entries) <= best * (1 + 1e-9)
    assert best <= min(mapped, entries * max(direct_map, default=0))


@given(st.integers(1, 400))
def test_splitting_never_widens_the_reach(split: int) -> None:
    whole = {2 * MIB: 1000}
    cut = {2 * MIB: 1000 - split, 4096: 512 * split}
    assert reach_bytes(cut, 512) <= reach_bytes(whole, 512)
    assert mean_reach_bytes(cut, 512) < mean_reach_bytes(whole, 512)


def test_remote_page_tables_stay_within_what_was_measured() -> None:
    anchor = remote_walks(COSTS)
    assert 1 < anchor.value <= MITOSIS_MOST
    assert (anchor.calibrated, anchor.verdict) == (True, "within")


def test_what_falls_outside_is_called_uncalibrated() -> None:
    assert remote_walks(COSTS.with_value("remote_extra_ns", 600)).verdict == "uncalibrated"
    assert remote_walks(COSTS, latencies_of(HMAT)).value == pytest.approx(1.16)


@pytest.mark.parametrize(("without", "calibrated"), [(0, False), (1, True), (2, False)])
def test_machines_without_a_free_range(without: int, calibrated: bool) -> None:
    runs = [facts(free_2mib_ranges=0 if number < without else 3) for number in range(4)]
    anchor = without_2mib_range(runs)
    assert (anchor.value, anchor.calibrated) == (without / 4, calibrated)
