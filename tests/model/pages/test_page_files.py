"""The files that show pages, in the kernel's format, and that they agree with each other."""

import re

import numpy as np
import pytest

from booted import booted, write
from memhp.core.geometry import NodeId
from memhp.core.words import ZoneType
from memhp.model.kernel import Kernel
from memhp.model.pages.allocate import Request
from memhp.model.pages.build import open_pages
from memhp.model.pages.gfp import GFP_HIGHUSER_MOVABLE, GFP_KERNEL
from memhp.model.pages.machine_pages import MachinePages
from memhp.model.pages.words import PageKind
from memhp.model.steps import KernelRefusal
from memhp.model.tree.tree import Tree

TEXT = """
kernel = "{kernel}"
[[node]]
memory = "512M"
[[dimm]]
size = "256M"
"""
BUDDY, NOPAGE, RESERVED = 1 << 10, 1 << 20, 1 << 32


def machine(kernel: str = "6.12") -> tuple[Kernel, MachinePages]:
    found = booted(TEXT.format(kernel=kernel))
    return found, open_pages(found)


def flags(kernel: Kernel) -> "np.ndarray[tuple[int], np.dtype[np.uint64]]":
    return np.frombuffer(Tree(kernel).read_bytes("/proc/kpageflags"), np.uint64)


def row(text: str, name: str) -> int:
    found = re.search(rf"^{re.escape(name)}:?\s+(\d+)", text, re.MULTILINE)
    assert found is not None
    return int(found[1])


def test_buddyinfo_is_as_the_kernel_prints_it() -> None:
    kernel, _ = machine()
    lines = Tree(kernel).read("/proc/buddyinfo").splitlines()
    assert all(re.fullmatch(r"Node \d+, zone {1,7}\w+ ( *\d+ ){11}", line) for line in lines)
    assert lines[0] == (
        "Node 0, zone      DMA      0      0      0      0      0      0      0      0"
        "      1      1      3 "
    )


def test_pagetypeinfo_is_as_the_kernel_prints_it() -> None:
    kernel, pages = machine()
    pages.allocate(Request(gfp=GFP_KERNEL, node=NodeId(0), count=700), PageKind.SLAB, "dentries")
    lines = Tree(kernel).read("/proc/pagetypeinfo").splitlines()
    assert lines[:4] == [
        "Page block order: 9",
        "Pages per block:  512",
        "",
        "Free pages count per migrate type at order       0      1      2      3      4      5"
        "      6      7      8      9     10 ",
    ]
    assert lines[4].startswith("Node    0, zone      DMA, type    Unmovable ")
    heading = lines.index(
        "Number of blocks type     Unmovable      Movable  Reclaimable   HighAtomic      Isolate "
    )
    assert lines[heading - 1] == ""
    assert lines[heading + 1].split() == ["Node", "0,", "zone", "DMA", "0", "8", "0", "0", "0"]
    assert int(lines[heading + 3].split()[4]) == 2


@pytest.mark.parametrize(
    ("kernel_name", "anon", "huge_head", "huge_tail"),
    [
        # 6.12.117 sets KSM on every anonymous page, as recorded; 6.1 does not.
        ("6.12", 0x205828, 0x205828 | 1 << 15 | 1 << 22, 0x205828 | 1 << 16 | 1 << 22),
        ("6.1", 0x5828, 0x5828 | 1 << 15 | 1 << 22, 1 << 11 | 1 << 12 | 1 << 16 | 1 << 22),
    ],
)
def test_flags_of_anonymous_memory(
    kernel_name: str, anon: int, huge_head: int, huge_tail: int
) -> None:
    kernel, pages = machine(kernel_name)
    small = pages.allocate(
        Request(gfp=GFP_HIGHUSER_MOVABLE, node=NodeId(0), count=10), PageKind.ANON, "a"
    )
    huge = pages.allocate(
        Request(gfp=GFP_HIGHUSER_MOVABLE, node=NodeId(0), order=9), PageKind.THP, "a"
    )
    assert small is not None
    assert huge is not None
    found = flags(kernel)
    assert set(found[pages.holders.heads(small)].tolist()) == {anon}
    head = int(pages.holders.heads(huge)[0])
    assert int(found[head]) == huge_head
    assert set(found[head + 1 : head + 512].tolist()) == {huge_tail}
    pages.holders.map_again(small)
    counts = np.frombuffer(Tree(kernel).read_bytes("/proc/kpagecount"), np.uint64)
    assert set(counts[pages.holders.heads(small)].tolist()) == {2}
    assert int(counts.sum()) == 20 + 512


def test_flags_and_counters_agree() -> None:
    kernel, pages = machine()
    for gfp, kind, count in (
        (GFP_HIGHUSER_MOVABLE, PageKind.FILE, 5000),
        (GFP_KERNEL, PageKind.SLAB, 900),
        (GFP_KERNEL, PageKind.PAGE_TABLE, 77),
        (GFP_KERNEL, PageKind.STACK, 40),
    ):
        pages.allocate(Request(gfp=gfp, node=NodeId(0), count=count), kind, "x")
    found = flags(kernel)
    meminfo = Tree(kernel).read("/proc/meminfo")
    zoneinfo = Tree(kernel).read("/proc/zoneinfo")
    buddy = int(np.count_nonzero(found & BUDDY))
    assert buddy * 4 == row(meminfo, "MemFree")
    assert buddy == sum(map(int, re.findall(r"nr_free_pages (\d+)", zoneinfo)))
    assert np.count_nonzero(found == 1 << 7) * 4 == row(meminfo, "Slab") == 3600
    assert np.count_nonzero(found == 1 << 26) * 4 == row(meminfo, "PageTables") == 308
    assert (row(meminfo, "Cached"), row(meminfo, "KernelStack")) == (20000, 160)
    assert re.search(r"nr_file_pages 5000$", zoneinfo, re.MULTILINE)


def test_offline_memory_has_no_pages_and_holes_are_reserved() -> None:
    kernel, _ = machine()
    assert write(kernel, 33, "offline") == ""
    found = flags(kernel)
    assert (found[33 * 32768 :] == NOPAGE).all()
    assert (found[32 * 32768 : 33 * 32768] == BUDDY).all()
    # 640 KiB to 1 MiB is no RAM, in a section that is online.
    assert (found[160:256] == RESERVED).all()
    assert (found[5 * 32768 : 32 * 32768] == NOPAGE).all()


def test_a_part_is_read_and_a_part_of_a_word_is_not() -> None:
    kernel, _ = machine()
    tree = Tree(kernel)
    whole = tree.read_bytes("/proc/kpageflags")
    assert tree.read_at("/proc/kpageflags", 8 * 5000, 8 * 100) == whole[8 * 5000 : 8 * 5100]
    assert tree.read_at("/proc/kpageflags", len(whole), 8) == b""
    with pytest.raises(KernelRefusal, match="8 bytes"):
        tree.read_at("/proc/kpageflags", 4, 8)


def test_looking_touches_nothing() -> None:
    kernel = booted(TEXT.format(kernel="6.12"))
    for name in ("buddyinfo", "pagetypeinfo", "zoneinfo"):
        Tree(kernel).read(f"/proc/{name}")
    Tree(kernel).read_at("/proc/kpageflags", 0, 80)
    assert kernel.pages is None


def test_what_an_untouched_machine_shows_is_what_its_pages_show() -> None:
    kernel = booted(TEXT.format(kernel="6.12"))
    names = ("buddyinfo", "pagetypeinfo", "meminfo")
    before = [Tree(kernel).read(f"/proc/{name}") for name in names]
    open_pages(kernel)
    after = [Tree(kernel).read(f"/proc/{name}") for name in names]
    assert after == before
    assert kernel.zone(NodeId(0), ZoneType.DMA32).managed
