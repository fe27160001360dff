"""Workloads: processes and "mixed", from a description and from Python; the same for a seed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from booted import booted, write
from memhp.core.errors import DescriptionError
from memhp.core.geometry import GIB, MIB, NodeId
from memhp.core.words import ZoneType
from memhp.model.description import parse_description
from memhp.model.kernel import Kernel
from memhp.model.pages.build import open_pages
from memhp.model.pages.mixed import CENSUS, asks, fill
from memhp.model.pages.processes import Processes
from memhp.model.pages.words import PageKind
from memhp.model.workload import (
    Exit,
    Fork,
    Grow,
    KernelGrow,
    KernelMemory,
    Memory,
    Pin,
    Shrink,
    Step,
    Workload,
)
from page_rules import broken_page_rules, content

MACHINE = """
command_line = "movable_node"
[[node]]
memory = "1G"
[[node]]
memory = "1G"
hotpluggable = true
"""
DESCRIBED = (
    MACHINE
    + """
[workload]
seed = 3
mixed = 10
step = [
    { process = "db", grow = "anonymous", size = "64M", node = 1 },
    { process = "db", grow = "files", size = "32M" },
    { process = "db", fork = "worker" },
    { process = "db", pin = "anonymous", size = "1M" },
    { process = "db", shrink = "anonymous", size = "8M" },
    { process = "worker", exit = true },
    { kernel = "slab", size = "2M" },
]
"""
)


def counts(kernel: Kernel) -> dict[PageKind, int]:
    pages = open_pages(kernel)
    found: dict[PageKind, int] = {}
    for holding in pages.holders.holdings.values():
        nr_pages = pages.holders.live(holding) << holding.order
        found[holding.kind] = found.get(holding.kind, 0) + nr_pages
    return found


def test_a_description_runs() -> None:
    description = parse_description(DESCRIBED, "m.toml")
    assert description.workload == Workload(
        seed=3,
        mixed_percent=10,
        steps=(
            Grow(process="db", memory=Memory.ANONYMOUS, size_bytes=64 * MIB, node=NodeId(1)),
            Grow(process="db", memory=Memory.FILES, size_bytes=32 * MIB),
            Fork(process="db", child="worker"),
            Pin(process="db", memory=Memory.ANONYMOUS, size_bytes=MIB),
            Shrink(process="db", memory=Memory.ANONYMOUS, size_bytes=8 * MIB),
            Exit(process="worker"),
            KernelGrow(memory=KernelMemory.SLAB, size_bytes=2 * MIB, node=NodeId(0)),
        ),
    )
    kernel = booted(DESCRIBED)
    pages = open_pages(kernel)
    assert broken_page_rules(kernel, pages) == []
    mine = [h for h in pages.holders.holdings.values() if h.owner == "db"]
    pinned = [h for h in mine if h.pinned]
    # A page in ZONE_MOVABLE is moved out of it before it is pinned for long.
    zones = {pages.area_of(int(head)).zone for h in pinned for head in pages.holders.heads(h)}  # type: ignore[union-attr]
    assert sum(pages.holders.live(h) for h in pinned) == 256
    assert zones == {ZoneType.DMA32}


@pytest.mark.parametrize(
    ("step", "problem"),
    [
        ('{ process = "a", grow = "anonymous" }', "size"),
        ('{ process = "a" }', "says nothing to do"),
        ('{ process = "a", grow = "files", fork = "b", size = "4K" }', "second thing"),
        ('{ process = "a", grow = "gold", size = "4K" }', 'is "gold"'),
        ('{ kernel = "slab", size = "4K", node = 7 }', "node"),
        ('{ process = "a", exit = false }', "is false"),
        ('{ process = "a", exit = true }', "was not started"),
    ],
)
def test_a_step_that_is_wrong(step: str, problem: str) -> None:
    with pytest.raises(DescriptionError, match=problem):
        parse_description(f"{MACHINE}\n[workload]\nstep = [{step}]\n", "m.toml")


def test_fork_and_exit() -> None:
    """A page is free when the last that maps it is gone; the page cache stays."""
    kernel = booted(MACHINE)
    pages = open_pages(kernel)
    processes = Processes(kernel, pages)
    before = sum(area.free + area.cached() for area in pages.areas)
    processes.do(Grow(process="a", memory=Memory.ANONYMOUS, size_bytes=4 * MIB))
    processes.do(Grow(process="a", memory=Memory.FILES, size_bytes=MIB))
    processes.do(Fork(process="a", child="b"))
    anon = next(h for h in pages.holders.holdings.values() if h.kind is PageKind.ANON)
    assert pages.holders.mapcount_of[anon.number] == 2
    processes.do(Exit(process="a"))
    assert (anon.owner, pages.holders.live(anon)) == ("b", 1024)
    assert pages.holders.mapcount_of[anon.number] == 1
    processes.do(Exit(process="b"))
    assert counts(kernel) == {PageKind.FILE: 256, PageKind.SLAB_RECLAIMABLE: 4}
    assert before - sum(area.free + area.cached() for area in pages.areas) == 260


def test_huge_pages_fall_back_to_small_ones() -> None:
    kernel = booted(MACHINE)
    pages = open_pages(kernel)
    processes = Processes(kernel, pages)
    short = processes.do(Grow(process="a", memory=Memory.HUGE, size_bytes=4 * GIB))
    found = counts(kernel)
    assert short > 0
    assert found[PageKind.THP] > found[PageKind.ANON] > 0
    assert broken_page_rules(kernel, pages) == []


def test_huge_pages_of_the_pool_are_dissolved_when_their_block_goes() -> None:
    kernel = booted(MACHINE)
    pages = open_pages(kernel)
    processes = Processes(kernel, pages)
    huge = Memory.HUGETLB_2M
    processes.do(Grow(process="a", memory=huge, size_bytes=256 * MIB, node=NodeId(1)))
    block = int(pages.holders.heads(processes.held("a", PageKind.HUGETLB)[64])[0]) // 32768
    assert write(kernel, block, "offline") == ""
    used = processes.held("a", PageKind.HUGETLB)
    assert len(used) == 128
    assert all(int(pages.holders.heads(h)[0]) // 32768 != block for h in used)
    assert pages.hugetlb.idle == []
    assert broken_page_rules(kernel, pages) == []


def test_huge_pages_go_round_in_a_block_of_the_only_node() -> None:
    """With a free page of the pool on the only node, offlining never ends until signalled."""
    kernel = booted('[[node]]\nmemory = "1G"\n')
    pages = open_pages(kernel)
    processes = Processes(kernel, pages)
    processes.do(Grow(process="a", memory=Memory.HUGETLB_2M, size_bytes=200 * MIB))
    before = content(pages)["a"]
    assert pages.hugetlb.add(pages, PageKind.HUGETLB, NodeId(0))
    assert write(kernel, 1, "offline") == "EINTR"
    assert content(pages)["a"] == before
    assert broken_page_rules(kernel, pages) == []
    # Without a free one, new ones are made elsewhere, and it ends.
    idle = int(pages.holders.heads(pages.hugetlb.idle[0])[0])
    assert pages.hugetlb.dissolve(pages, idle, idle + 1) == 1
    assert write(kernel, 1, "offline") == ""
    assert content(pages)["a"] == before


def test_mixed_is_what_it_says() -> None:
    kernel = booted('[[node]]\nmemory = "4G"\n[[node]]\nmemory = "4G"\n')
    pages = open_pages(kernel)
    free = sum(area.free for area in pages.areas)
    filled = fill(kernel, pages, 80, 1)
    left = sum(area.free + area.cached() for area in pages.areas)
    assert free * 15 // 100 < left <= free * 20 // 100
    assert filled.single_kernel_pages * 100 >= 2 * filled.pages * 9 // 10
    assert filled.freed_pages * 20 > filled.pages
    found = counts(kernel)
    singles = sum(found[kind] for kind in (PageKind.ANON, PageKind.FILE, PageKind.SHMEM))
    assert singles * 2 > sum(found.values())
    kernels = {kind: found.get(kind, 0) for kind, _ in CENSUS}
    total = sum(kernels.values())
    assert total * 100 < 6 * sum(found.values())
    for kind, share in CENSUS:
        assert abs(kernels[kind] * 1000 // total - share) < 60
    assert broken_page_rules(kernel, pages) == []


def test_half_of_the_requests_are_small() -> None:
    sizes = [ask.count << ask.order for ask, _ in zip(asks(5), range(4000), strict=False)]
    assert np.median(sizes) * 4096 <= 4 * MIB
    assert max(sizes) < 1 << 14


def test_the_same_seed_does_the_same() -> None:
    first, second, other = (
        content(open_pages(booted(DESCRIBED.replace("seed = 3", f"seed = {seed}"))))
        for seed in (3, 3, 4)
    )
    assert first == second
    assert first != other


@st.composite
def lives(draw: st.DrawFn) -> list[Step]:
    names = st.sampled_from(["a", "b", "c"])
    memory = st.sampled_from(list(Memory)[:5])
    size = st.integers(1, 80).map(lambda number: number * MIB)
    nodes = st.sampled_from([None, NodeId(0), NodeId(1)])
    kernels = st.sampled_from(list(KernelMemory))
    return draw(
        st.lists(
            st.one_of(
                st.builds(Grow, process=names, memory=memory, size_bytes=size, node=nodes),
                st.builds(Shrink, process=names, memory=memory, size_bytes=size),
                st.builds(Fork, process=names, child=names),
                st.builds(Exit, process=names),
                st.builds(Pin, process=names, memory=memory, size_bytes=size),
                st.builds(KernelGrow, memory=kernels, size_bytes=size, node=st.just(NodeId(0))),
            ),
            max_size=12,
        )
    )


@given(lives(), st.lists(st.integers(1, 15), max_size=4))
@settings(max_examples=25, deadline=None)
def test_any_life_and_any_offline(steps: list[Step], blocks: list[int]) -> None:
    kernel = booted(MACHINE)
    pages = open_pages(kernel)
    processes = Processes(kernel, pages)
    for step in steps:
        if not isinstance(step, Fork) or processes.home(step.child) is None:
            processes.do(step)
    assert broken_page_rules(kernel, pages) == []
    before = {owner: len(held) for owner, held in content(pages).items() if "pool" not in owner}
    for block in blocks:
        write(kernel, block, "offline")
        assert broken_page_rules(kernel, pages) == []
    after = {owner: len(held) for owner, held in content(pages).items() if "pool" not in owner}
    assert after == before
