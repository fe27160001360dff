"""Poisoned pages: what holds them decides what happens, and offlining passes them by."""

import numpy as np
import pytest

from booted import booted, write, write_file
from memhp.core.geometry import NodeId
from memhp.model.kernel import Kernel
from memhp.model.pages.allocate import Request
from memhp.model.pages.build import open_pages
from memhp.model.pages.machine_pages import MachinePages
from memhp.model.pages.mixed import mask_of
from memhp.model.pages.words import PageKind
from memhp.model.tree.tree import Tree
from page_rules import broken_page_rules, content

TEXT = """
kernel = "{kernel}"
[[node]]
memory = "1G"
[[node]]
memory = "1G"
"""
HARD = "/sys/devices/system/memory/hard_offline_page"
SOFT = "/sys/devices/system/memory/soft_offline_page"


def machine(kernel: str = "6.12") -> tuple[Kernel, MachinePages]:
    found = booted(TEXT.format(kernel=kernel))
    return found, open_pages(found)


def grow(pages: MachinePages, kind: PageKind, count: int, order: int = 0) -> list[int]:
    request = Request(gfp=mask_of(kind), node=NodeId(1), count=count, order=order)
    holding = pages.allocate(request, kind, "x")
    assert holding is not None
    found: list[int] = pages.holders.heads(holding).tolist()
    return found


def poison(kernel: Kernel, path: str, pfn: int) -> str:
    return write_file(kernel, path, f"{pfn << 12:#x}")


@pytest.mark.parametrize("path", [HARD, SOFT])
@pytest.mark.parametrize("pfn", [9 * 32768, 9 * 32768 + 777, 10 * 32768 - 1])
def test_a_free_page_is_taken_off_the_lists(path: str, pfn: int) -> None:
    kernel, pages = machine()
    free = sum(area.free for area in pages.areas)
    assert poison(kernel, path, pfn) == ""
    assert sum(area.free for area in pages.areas) == free - 1
    assert "free buddy page: Recovered" in kernel.log[-1]
    assert broken_page_rules(kernel, pages) == []
    flags = np.frombuffer(Tree(kernel).read_at("/proc/kpageflags", pfn * 8, 8), np.uint64)
    assert int(flags[0]) == 1 << 19
    assert write(kernel, 9, "offline") == ""
    assert write(kernel, 9, "online") == "EHWPOISON"
    assert "HardwareCorrupted:     4 kB" in Tree(kernel).read("/proc/meminfo")


@pytest.mark.parametrize("order", [0, 9])
def test_soft_loses_nothing_and_hard_loses_one_page(order: int) -> None:
    kernel, pages = machine()
    kind = PageKind.THP if order else PageKind.ANON
    heads = grow(pages, kind, 200 if order else 50000, order)
    pfn = heads[len(heads) // 2] + (order and 3)
    before = content(pages)
    assert poison(kernel, SOFT, pfn) == ""
    assert content(pages) == before
    assert broken_page_rules(kernel, pages) == []
    assert poison(kernel, HARD, heads[3]) == ""
    lost = set(before["x"]) - set(content(pages)["x"])
    assert len(lost) == 1
    assert broken_page_rules(kernel, pages) == []


def test_a_page_on_a_per_cpu_list_counts_as_free() -> None:
    kernel, pages = machine()
    grow(pages, PageKind.SLAB, 1)
    waiting = int(next(iter(pages.areas[-1].pcp[0].lists.values()))[0])
    assert poison(kernel, HARD, waiting) == ""
    assert broken_page_rules(kernel, pages) == []


def test_a_kernel_page_stays_in_use_and_does_not_stop_offlining() -> None:
    kernel, pages = machine()
    heads = grow(pages, PageKind.SLAB, 60000)
    pages.drain()
    pfn = next(head for head in heads if head // 32768 == 9)
    assert poison(kernel, SOFT, pfn) == "EIO"
    assert poison(kernel, HARD, pfn) == "EBUSY"
    assert poison(kernel, HARD, pfn) == "EHWPOISON"
    assert kernel.log[-1].endswith("reserved kernel page: Ignored")
    pages.free_pages(np.array([head for head in heads if head != pfn]))
    pages.drain()
    assert write(kernel, 9, "offline") == ""
    assert pages.holders.holdings == {}


def test_a_pinned_page_is_busy() -> None:
    kernel, pages = machine()
    heads = grow(pages, PageKind.ANON, 10)
    pages.holders.pin(pages.holders.at(heads[0]))
    assert poison(kernel, SOFT, heads[0]) == "EBUSY"
    assert pages.holders.live(pages.holders.at(heads[0])) == 10


def test_the_older_kernel_forgets_when_the_block_comes_back() -> None:
    kernel, pages = machine("6.1")
    kernel.poisoned.add(9 * 32768 + 5)
    kernel.pages = None
    pages = open_pages(kernel)
    assert write(kernel, 9, "offline") == ""
    assert write(kernel, 9, "online") == ""
    assert kernel.poisoned == set()
    assert broken_page_rules(kernel, pages) == []
