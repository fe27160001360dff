"""Room on each node, and whose pages stay, from a tree of files."""

import os
from pathlib import Path

import pytest

from memhp.core.errors import NoSuchObject
from memhp.core.evidence import Held, NodeRoom, Sighting
from memhp.core.geometry import NodeId
from memhp.core.ranges import PhysRange
from memhp.core.snapshot import IomemEntry
from memhp.machines.linux.look_inside import has_holes
from memhp.machines.linux.node_room import read_reserved_huge, read_rooms, read_swap_free
from memhp.machines.linux.root import Root
from memhp.machines.linux.task_memory import ranges_of_task, read_holders

ZONEINFO = """\
Node 0, zone      DMA
  pages free     100
        min      10
        managed  3840
      nr_zone_inactive_file 5
      nr_zone_active_file 6
Node 0, zone  Movable
  pages free     7
        min      9
        managed  1000
      nr_zone_inactive_file 1
      nr_zone_active_file 0
Node 1, zone   Normal
  pages free     50
        min      20
        managed  1000
Node 1, zone  Movable
  pages free     0
        min      32
        managed  0
"""


def tree(tmp_path: Path, **files: str) -> Root:
    for name, text in files.items():
        path = tmp_path / name.replace("__", "/").replace("_K", "-2048kB")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Root(str(tmp_path), f"linux:{tmp_path}")


def test_rooms_are_what_is_free_above_the_minimum(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        proc__zoneinfo=ZONEINFO,
        sys__devices__system__node__node1__hugepages__hugepages_K__free_hugepages="3\n",
    )
    assert read_rooms(root) == (
        NodeRoom(
            node=NodeId(0),
            kernel_free=90,
            kernel_reclaimable=11,
            movable_free=0,
            movable_reclaimable=1,
        ),
        NodeRoom(node=NodeId(1), kernel_free=30, free_huge=3),
    )


def test_swap_and_promises(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        proc__meminfo="MemFree: 5 kB\nSwapFree:          4096 kB\n",
        sys__kernel__mm__hugepages__hugepages_K__resv_hugepages="2\n",
    )
    assert (read_swap_free(root), read_reserved_huge(root)) == (1024, 2)
    empty = Root(str(tmp_path / "empty"), "linux:x")
    assert (read_rooms(empty), read_swap_free(empty), read_reserved_huge(empty)) == ((), 0, 0)


def test_holders_are_processes_with_pinned_or_huge_pages(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        proc__7__status="Name:\tdb\nVmPin:\t    8192 kB\nHugetlbPages:\t  2048 kB\n",
        proc__12__status="Name:\tsh\nVmPin:\t       0 kB\n",
        proc__13__comm="no status\n",
    )
    assert read_holders(root) == (
        Sighting(kind=Held.PINNED, first_pfn=0, count=2048, owner="process 7 (db)"),
        Sighting(kind=Held.HUGE, first_pfn=0, count=512, owner="process 7 (db)"),
    )


def test_a_task_s_memory_is_where_its_pagemap_says(tmp_path: Path) -> None:
    root = tree(tmp_path, proc__7__maps="1000-4000 rw-p 00000000 00:00 0 \n")
    present = 1 << 63
    words = [0, present | 0x55, present | 0x56, present, 1 << 62 | 5]
    data = b"".join(word.to_bytes(8, "little") for word in words)
    (tmp_path / "proc/7/pagemap").write_bytes(data)
    assert ranges_of_task(root, 7) == (PhysRange(start=0x55000, end=0x57000),)
    with pytest.raises(NoSuchObject, match="no process 8"):
        ranges_of_task(root, 8)


@pytest.mark.skipif(os.geteuid() != 0, reason="page frames are shown to root alone")
def test_our_own_memory_lies_somewhere() -> None:
    assert ranges_of_task(Root("/", "linux:"), os.getpid())


def test_holes_are_what_is_no_system_ram() -> None:
    def entry(start: int, end: int, name: str = "System RAM", depth: int = 0) -> IomemEntry:
        return IomemEntry(range=PhysRange(start=start, end=end), name=name, depth=depth)

    whole = (entry(0x1000, 0x5000),)
    split = (entry(0x1000, 0x3000), entry(0x3000, 0x5000, "System RAM (kmem)", 1))
    assert not has_holes(1, 0x4000, ())
    assert not has_holes(0, 0x4000, ()), "hidden addresses tell nothing"
    assert has_holes(0, 0x4000, whole)
    assert not has_holes(1, 0x1000, whole)
    assert not has_holes(1, 0x1000, split)
    assert has_holes(1, 0x4000, (entry(0x4000, 0x7000),))
