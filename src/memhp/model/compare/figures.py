"""From counts and costs to what a person wants to know."""

from collections.abc import Mapping
from dataclasses import dataclass

from memhp.core.geometry import GIB, NodeId
from memhp.model.compare.costs import Costs
from memhp.model.compare.facts import Access, Facts, Placed

Latencies = Mapping[tuple[NodeId, NodeId], float]
"""Nanoseconds by (node of the processor, node of the memory)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """The figures of one run. ``local`` is ``None`` for a kind of which there is no page."""

    out_share: float
    out_gib: float
    local: Mapping[Access, float | None]
    latency_ns: float
    seconds: float


def figures_of(facts: Facts, costs: Costs, latencies: Latencies | None = None) -> Figures:
    """Work one run out. ``latencies`` are those of the machine's HMAT, where it has one."""
    return Figures(
        out_share=facts.out_bytes / facts.total_bytes if facts.total_bytes else 0.0,
        out_gib=facts.out_bytes / GIB,
        local={kind: local_share(facts.placed.get(kind, {})) for kind in Access},
        latency_ns=mean_latency_ns(facts.placed, costs, latencies),
        seconds=seconds_of(facts, costs),
    )


def local_share(placed: Placed) -> float | None:
    """The share of pages on the node that uses them."""
    pages = sum(placed.values())
    if not pages:
        return None
    return sum(count for (user, home), count in placed.items() if user == home) / pages


def access_shares(costs: Costs) -> dict[Access, float]:
    """Which share of a program's memory accesses goes to each kind of page."""
    shares = {
        Access.WALKS: costs["share_walks"],
        Access.SLAB: costs["share_slab"],
        Access.STRUCT_PAGES: costs["share_struct_pages"],
    }
    return {Access.USER: 1 - sum(shares.values()), **shares}


def mean_latency_ns(
    placed: Mapping[Access, Placed], costs: Costs, latencies: Latencies | None = None
) -> float:
    """The mean over all accesses; every page of a kind is touched as often as the next.

    Model: distance alone decides; bandwidth and contention are left out.
    """
    shares = access_shares(costs)
    total = weight = 0.0
    for kind, share in shares.items():
        pages = placed.get(kind, {})
        count = sum(pages.values())
        if not count:
            continue
        waited = sum(n * latency_ns(pair, costs, latencies) for pair, n in pages.items())
        total += share * waited / count
        weight += share
    return total / weight if weight else costs["local_ns"]


def latency_ns(
    pair: tuple[NodeId, NodeId], costs: Costs, latencies: Latencies | None = None
) -> float:
    """What an access costs: by the HMAT, else by the table of the cost model."""
    if latencies is not None and pair in latencies:
        return latencies[pair]
    local = costs["local_ns"]
    return local if pair[0] == pair[1] else local + costs["remote_extra_ns"]


def seconds_of(facts: Facts, costs: Costs) -> float:
    """How long taking it all out takes, on one processor after another."""
    shootdown = costs["shootdown_base_ns"] + costs["shootdown_cpu_ns"] * max(0, facts.cpus - 1)
    moved = facts.moved_user_pages + facts.moved_kernel_pages
    spent = (
        moved * costs["copy_page_ns"]
        + facts.moved_user_pages * costs["migrate_page_ns"]
        + facts.moved_kernel_pages * costs["stall_page_ns"]
        + facts.shootdowns * shootdown
        + facts.split_entries * costs["split_entry_ns"]
        + facts.blocks_out * costs["block_ns"]
    )
    return spent / 1e9


def reach_bytes(direct_map: Mapping[int, int], entries: int) -> int:
    """The range that a TLB of so many entries covers at best: the largest entries first."""
    covered = 0
    for size in sorted(direct_map, reverse=True):
        used = min(entries, direct_map[size])
        covered += used * size
        entries -= used
    return covered


def mean_reach_bytes(direct_map: Mapping[int, int], entries: int) -> float:
    """The range that it covers where the kernel touches memory evenly.

    Each entry is then in the TLB in proportion to what it maps; those for which that
    is more than always are there, and what is left of the TLB is for the others.
    """
    left = sum(size * count for size, count in direct_map.items())
    covered = 0.0
    for size in sorted((size for size in direct_map if direct_map[size]), reverse=True):
        mapped = size * direct_map[size]
        if entries * size < left:
            # From here on entries come and go: what is covered is in proportion too.
            rest = {other: n for other, n in direct_map.items() if other <= size}
            return covered + sum(n * other * other for other, n in rest.items()) * entries / left
        covered += mapped
        entries -= direct_map[size]
        left -= mapped
    return covered
