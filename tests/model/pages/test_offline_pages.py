"""Offlining down to the page: content is kept, counts hold, failure leaves what it should."""

import errno
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from booted import booted, write
from memhp.core.geometry import NodeId
from memhp.core.words import OnlineType, ZoneType
from memhp.model.kernel import Kernel
from memhp.model.offline import device_offline
from memhp.model.pages.allocate import Request
from memhp.model.pages.build import open_pages
from memhp.model.pages.gfp import GFP_HIGHUSER_MOVABLE, GFP_KERNEL, GFP_RECLAIMABLE, Gfp
from memhp.model.pages.holding import Holding
from memhp.model.pages.machine_pages import MachinePages
from memhp.model.pages.words import MigrateType, PageKind
from memhp.model.steps import KernelRefusal, Pause, Signal, run
from memhp.model.tree.tree import Tree
from page_rules import broken_page_rules, content

TWO_NODES = """
kernel = "{kernel}"
command_line = "movable_node"
[[node]]
memory = "1G"
[[node]]
memory = "512M"
hotpluggable = true
"""
ONE_NODE = """
kernel = "{kernel}"
command_line = "memhp_default_state=offline"
[[node]]
memory = "512M"
[[dimm]]
size = "256M"
"""
ZONE_OF = {
    PageKind.ANON: GFP_HIGHUSER_MOVABLE,
    PageKind.FILE: GFP_HIGHUSER_MOVABLE,
    PageKind.THP: GFP_HIGHUSER_MOVABLE,
    PageKind.BALLOON: GFP_HIGHUSER_MOVABLE,
    PageKind.SLAB: GFP_KERNEL,
    PageKind.SLAB_RECLAIMABLE: GFP_RECLAIMABLE,
    PageKind.PAGE_TABLE: GFP_KERNEL,
}


def machine(text: str = TWO_NODES, kernel: str = "6.12") -> tuple[Kernel, MachinePages]:
    booted_kernel = booted(text.format(kernel=kernel))
    return booted_kernel, open_pages(booted_kernel)


def grow(
    pages: MachinePages, kind: PageKind, count: int, node: int = 0, order: int = 0
) -> Holding | None:
    request = Request(gfp=ZONE_OF[kind], node=NodeId(node), count=count, order=order)
    return pages.allocate(request, kind, f"{kind.name.lower()} of node {node}")


def area_of(pages: MachinePages, node: int, zone: ZoneType) -> int:
    return pages.area(NodeId(node), zone).free


def test_a_block_of_anonymous_memory_goes_to_the_other_node() -> None:
    kernel, pages = machine()
    held = grow(pages, PageKind.ANON, 60000, node=1)
    assert held is not None
    before = content(pages)
    heads = pages.holders.heads(held)
    block = int(heads[30000]) // 32768
    was = heads // 32768 == block
    assert write(kernel, block, "offline") == ""
    heads = pages.holders.heads(held)
    # Never to another block of its own node while there is another node.
    assert (heads[was] // 32768 < 8).all()
    assert content(pages) == before
    assert broken_page_rules(kernel, pages) == []


def test_an_unmovable_page_is_named_and_undoing_loses_the_types() -> None:
    """Pageblocks that were isolated before the refusal come back movable."""
    kernel, pages = machine()
    held = grow(pages, PageKind.SLAB, 40000)
    assert held is not None
    pages.drain()
    heads = np.sort(pages.holders.heads(held))
    block = 1
    first = block * 64
    types = pages.frames.migratetype
    # Only a page in the middle is left, in a block whose first pageblock is the slab's own.
    inside = heads[heads // 32768 == block]
    types[first] = MigrateType.RECLAIMABLE
    middle = inside[(inside // 512 != first) & (inside // 512 != first + 63)]
    pages.free_pages(np.setdiff1d(heads, middle[:1]))
    pages.drain()
    with pytest.raises(KernelRefusal) as refused:
        run(device_offline(kernel, block))
    assert refused.value.errno == errno.EBUSY
    assert f"{int(middle[0]):#x}: slab of slab of node 0" in str(refused.value)
    assert types[first] == types[first + 63] == MigrateType.MOVABLE
    assert broken_page_rules(kernel, pages) == []


def test_pages_from_normal_do_not_enter_movable() -> None:
    """Base pages of a kernel zone are placed in kernel zones, huge ones anywhere."""
    kernel, pages = machine()
    huge = grow(pages, PageKind.THP, 50, node=0, order=9)
    held = grow(pages, PageKind.ANON, 3000, node=0)
    assert held is not None
    assert huge is not None
    block = int(pages.holders.heads(held)[-1]) // 32768
    assert (pages.holders.heads(huge) // 32768 == block).any()
    there = int(np.count_nonzero(pages.holders.heads(held) // 32768 == block))
    # The only other node has nothing but ZONE_MOVABLE.
    steps = device_offline(kernel, block)
    pauses = [next(steps) for _ in range(6)]
    assert pauses[-1] is Pause.RETRYING
    assert not (pages.holders.heads(huge) // 32768 == block).any()
    with pytest.raises(KernelRefusal, match=f"no room elsewhere for {there} pages"):
        steps.throw(Signal())
    assert broken_page_rules(kernel, pages) == []


def test_a_pinned_page_is_tried_again_until_the_deadline() -> None:
    kernel, pages = machine()
    held = grow(pages, PageKind.ANON, 40000, node=1)
    pinned = grow(pages, PageKind.FILE, 3, node=1)
    assert held is not None
    assert pinned is not None
    pages.holders.pin(pinned)
    block = int(pages.holders.heads(pinned)[0]) // 32768
    before, where = content(pages), pages.holders.heads(held)
    with pytest.raises(KernelRefusal) as refused:
        run(device_offline(kernel, block))
    assert (refused.value.errno, refused.value.reason) == (
        errno.EINTR,
        "signal backoff: 3 pages pinned",
    )
    # What was migrated stays where it went.
    gone = where // 32768 == block
    assert gone.any()
    assert (pages.holders.heads(held)[gone] // 32768 != block).all()
    assert content(pages) == before
    assert broken_page_rules(kernel, pages) == []
    pages.holders.pin(pinned, pinned=False)
    assert write(kernel, block, "offline") == ""


def test_the_only_node_is_its_own_target() -> None:
    kernel, pages = machine(ONE_NODE)
    assert write(kernel, 32, "online_movable") == ""
    assert write(kernel, 33, "online_movable") == ""
    held = grow(pages, PageKind.ANON, 20000)
    assert held is not None
    assert (pages.holders.heads(held) // 32768 == 32).all()
    assert write(kernel, 32, "offline") == ""
    assert (pages.holders.heads(held) // 32768 == 33).all()
    assert broken_page_rules(kernel, pages) == []


def test_a_huge_page_without_room_is_split() -> None:
    """Its pages stay what they were, one by one."""
    kernel, pages = machine()
    while grow(pages, PageKind.THP, 8, node=0, order=9):
        pass
    for holding in list(pages.holders.holdings.values()):
        # No two megabytes stay free in one piece, but half of the pages do.
        if holding.kind is PageKind.THP:
            for head in pages.holders.heads(holding).tolist()[::2]:
                parts = pages.holders.split(head)
                pages.free_pages(pages.holders.heads(parts)[::2])
    pages.drain()
    block = 9
    before = content(pages)
    assert write(kernel, block, "offline") == ""
    assert content(pages) == before
    assert broken_page_rules(kernel, pages) == []


def test_an_untouched_block_costs_nothing() -> None:
    kernel, pages = machine()
    untouched = pages.frames.pristine[: pages.frames.nr_frames // 32768].copy()
    block = int(np.flatnonzero(untouched)[-1])
    assert write(kernel, block, "offline") == ""
    assert not pages.frames.state[block * 32768 : (block + 1) * 32768].any()
    assert write(kernel, block, "online_movable") == ""
    assert (pages.frames.pristine == untouched).all()


@pytest.mark.parametrize("kernel_name", ["6.12", "6.1"])
@pytest.mark.parametrize("text", [TWO_NODES, ONE_NODE], ids=["two nodes", "one node"])
@given(rng=st.randoms(use_true_random=False))
@settings(max_examples=12, deadline=None)
def test_any_sequence_keeps_content_and_counts(text: str, kernel_name: str, rng: Random) -> None:
    kernel, pages = machine(text, kernel_name)
    holdings: list[Holding] = []
    for _ in range(rng.randint(3, 12)):
        before = content(pages)
        if rng.random() < 0.5:
            kind = rng.choice(list(ZONE_OF))
            order = 9 if kind is PageKind.THP else rng.choice([0, 0, 0, 2])
            count = max(1, rng.randint(1, 50000) >> order)
            got = grow(pages, kind, count, rng.choice(sorted(kernel.online_nodes)), order)
            if got is not None:
                holdings.append(got)
                pages.holders.pin(got, pinned=rng.random() < 0.05)
        elif rng.random() < 0.4 and holdings:
            holding = holdings.pop(rng.randrange(len(holdings)))
            heads = pages.holders.heads(holding)
            if len(heads):
                pages.free_pages(heads[:: rng.randint(1, 3)])
        else:
            number = rng.choice(list(kernel.blocks.numbers()))
            write(kernel, number, rng.choice(["offline", "online_movable", "online_kernel"]))
            assert content(pages) == before
        assert broken_page_rules(kernel, pages) == []


def test_gfp_of_migration_from_a_kernel_zone() -> None:
    """``GFP_USER | __GFP_MOVABLE`` alone stops at ZONE_NORMAL (``gfp_zone()``)."""
    kernel, pages = machine()
    held = pages.allocate(Request(gfp=Gfp.MOVABLE, node=NodeId(1), count=10), PageKind.ANON, "x")
    assert held is not None
    assert (pages.holders.heads(held) // 32768 < 8).all()
    assert broken_page_rules(kernel, pages) == []


def test_while_a_block_goes_offline_its_pageblocks_are_isolated() -> None:
    """Free pages leave MemFree at once, and pagetypeinfo shows where they are."""
    kernel, pages = machine()
    held = grow(pages, PageKind.ANON, 60000, node=1)
    assert held is not None
    pages.drain()
    free = area_of(pages, 1, ZoneType.MOVABLE)
    steps = device_offline(kernel, 9)
    assert next(steps) is Pause.GOING_OFFLINE
    inside = int(np.count_nonzero(pages.holders.heads(held) // 32768 == 9))
    assert 0 < inside < 32768
    assert area_of(pages, 1, ZoneType.MOVABLE) == free - (32768 - inside)
    row = next(
        line
        for line in Tree(kernel).read("/proc/pagetypeinfo").splitlines()
        if line.startswith("Node 1, zone  Movable") and "type" not in line
    )
    assert row.split()[4:] == ["0", "192", "0", "0", "64"]
    assert broken_page_rules(kernel, pages) == []
    with pytest.raises(KernelRefusal):
        steps.throw(Signal())
    assert area_of(pages, 1, ZoneType.MOVABLE) == free
    assert broken_page_rules(kernel, pages) == []


def test_an_armed_type_stays_armed_when_offlining_fails() -> None:
    kernel, pages = machine()
    pinned = grow(pages, PageKind.ANON, 60000, node=1)
    assert pinned is not None
    pages.holders.pin(pinned)
    assert write(kernel, 9, "online_kernel") == "EINVAL"
    assert write(kernel, 9, "offline") == "EINTR"
    block = kernel.blocks.get(9)
    assert block is not None
    assert block.armed is OnlineType.ONLINE_KERNEL


GIGANTIC = '[[node]]\nmemory = "8G"\n[[node]]\nmemory = "4G"\n'


def test_huge_pages_of_1_gib_go_to_a_free_one_or_nowhere() -> None:
    kernel = booted(GIGANTIC)
    pages = open_pages(kernel)
    pool = pages.hugetlb
    used = pool.take(pages, PageKind.GIGANTIC, NodeId(1), "a")
    assert used is not None
    before = content(pages)["a"]
    assert len(before) == 1 << 18
    block = int(pages.holders.heads(used)[0]) // 32768
    assert write(kernel, block, "offline") == "EINTR"
    assert pool.add(pages, PageKind.GIGANTIC, NodeId(0))
    assert write(kernel, block, "offline") == ""
    assert content(pages)["a"] == before
    assert pages.area_of(int(pages.holders.heads(used)[0])) is pages.area(
        NodeId(0), ZoneType.NORMAL
    )
    # The page that it left was free, and was dissolved as a whole.
    assert pool.idle == []
    assert broken_page_rules(kernel, pages) == []
