"""Moving vmalloc data and kernel memory: what moves, what stays, and that addresses lead there."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from booted import booted, write
from kernel_rules import broken_rules
from memhp.core.geometry import NodeId
from memhp.model.kernel import Kernel
from memhp.model.pages.allocate import Request
from memhp.model.pages.build import open_pages
from memhp.model.pages.kernel_map import KernelMap
from memhp.model.pages.machine_pages import MachinePages
from memhp.model.pages.migrate_kernel import KERNEL_KINDS
from memhp.model.pages.mixed import mask_of
from memhp.model.pages.words import PageKind
from memhp.model.tree.tree import Tree
from page_rules import broken_page_rules, content

TEXT = """
[[node]]
memory = "1G"
[[node]]
memory = "1G"
[proposals]
{switch}
"""
KINDS = [kind for kind in PageKind if not kind.movable]
Address = tuple[int, int, int]
"""An address of the direct map in pages, and the identity of what it reads."""


def machine(switch: str = "migrate_kernel = true") -> tuple[Kernel, MachinePages]:
    kernel = booted(TEXT.format(switch=switch))
    return kernel, open_pages(kernel)


def addresses(pages: MachinePages) -> set[Address]:
    """What every address of kernel memory reads, through the tables."""
    found: set[Address] = set()
    for holding in pages.holders.holdings.values():
        if holding.kind.movable or holding.kind is PageKind.VMALLOC:
            continue
        for head in pages.holders.heads(holding).tolist():
            for frame in range(head, head + (1 << holding.order)):
                page = pages.kernel_map.page(frame)
                assert pages.kernel_map.frame(page) == frame
                number, first = pages.holders.identity(head)
                found.add((page, number, first + frame - head))
    return found


def grow(pages: MachinePages, kind: PageKind, count: int, node: int, order: int = 0) -> None:
    request = Request(gfp=mask_of(kind), node=NodeId(node), count=count, order=order)
    assert pages.allocate(request, kind, kind.name) is not None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("switch", ["", "migrate_vmalloc = true", "migrate_kernel = true"])
def test_which_kinds_move(kind: PageKind, switch: str) -> None:
    kernel, pages = machine(switch)
    grow(pages, kind, 40000, node=1)
    pages.drain()
    before, read = content(pages), addresses(pages)
    moves = (kind in KERNEL_KINDS and "kernel" in switch) or (
        kind is PageKind.VMALLOC and "vmalloc" in switch
    )
    # The only block of node 1 that is full of it.
    block = 9
    found = pages.obstacle(*kernel.block_pfns(block))
    assert (found is None) == moves
    assert write(kernel, block, "offline") == ("" if moves else "EBUSY")
    tables = kernel.page_tables.tables
    left = {owner: held for owner, held in content(pages).items() if owner in before}
    assert left == before
    assert read <= addresses(pages)
    assert broken_page_rules(kernel, pages) == []
    split = moves and kind is not PageKind.VMALLOC
    assert (pages.costs.split_units > 0) == split
    assert any(table[0].name == "DIRECT_PTE" for table in tables) == split


def test_the_direct_map_is_split_where_pages_moved() -> None:
    kernel, pages = machine()
    grow(pages, PageKind.SLAB, 90000, node=1)
    pages.drain()
    before = Tree(kernel).read("/proc/meminfo")
    assert "DirectMap4k:           0 kB" in before
    assert write(kernel, 9, "offline") == ""
    small = pages.costs.split_units * 2048
    assert small >= 2 * 128 * 1024
    assert f"DirectMap4k:    {small:>8} kB" in Tree(kernel).read("/proc/meminfo")
    assert pages.costs.copied[PageKind.SLAB] == 32768
    assert pages.costs.shootdowns >= 32768


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30))))
def test_the_map_stays_one_to_one(swaps: list[tuple[int, int]]) -> None:
    found = KernelMap()
    where = {page: page for page in range(31)}
    for old, new in swaps:
        if old == new:
            continue
        found.exchange(np.array([old]), np.array([new]))
        here = next(page for page, frame in where.items() if frame == old)
        there = next(page for page, frame in where.items() if frame == new)
        where[here], where[there] = new, old
    assert {page: found.frame(page) for page in range(31)} == where
    assert all(found.page(found.frame(page)) == page for page in range(31))
    copy = KernelMap()
    copy.restore(found.moved())
    assert {page: copy.frame(page) for page in range(31)} == where


@st.composite
def deeds(draw: st.DrawFn) -> list[tuple[str, int, int]]:
    grown = st.tuples(st.sampled_from([k.name for k in KERNEL_KINDS]), st.integers(1, 9000))
    return draw(
        st.lists(
            st.one_of(
                grown.map(lambda pair: (pair[0], pair[1], 0)),
                st.tuples(st.just("offline"), st.integers(1, 15), st.just(0)),
                st.tuples(st.just("online"), st.integers(1, 15), st.just(0)),
                st.tuples(st.just("free"), st.integers(0, 99), st.integers(1, 3)),
            ),
            min_size=2,
            max_size=12,
        )
    )


@given(deeds())
@settings(max_examples=20, deadline=None)
def test_addresses_read_the_same_whatever_moved(steps: list[tuple[str, int, int]]) -> None:
    kernel, pages = machine()
    for what, number, step in steps:
        read = addresses(pages)
        if what in {"offline", "online"}:
            write(kernel, number, what)
            # Tables for what was split come on top.
            assert read <= addresses(pages)
        elif what == "free":
            mine = [h for h in pages.holders.holdings.values() if h.owner in PageKind.__members__]
            if mine:
                heads = pages.holders.heads(mine[number % len(mine)])
                pages.free_pages(heads[::step])
        else:
            grow(pages, PageKind[what], number, node=number % 2)
        assert broken_page_rules(kernel, pages) == []
        assert list(broken_rules(kernel)) == []
