"""The census of saved trees, and what a model's files show held against what the model knows."""

import os
from pathlib import Path

import numpy as np
import pytest

from booted import booted
from memhp.core.census import BlockCensus, PageKind
from memhp.core.errors import MachineError, NoSuchObject
from memhp.core.geometry import BlockId, NodeId
from memhp.core.owners import Owner, OwnerKind
from memhp.core.words import Ability
from memhp.machines.linux.machine import open_linux
from memhp.model.pages.allocate import Request
from memhp.model.pages.build import open_pages
from memhp.model.pages.gfp import GFP_HIGHUSER_MOVABLE, GFP_KERNEL
from memhp.model.pages.words import PageKind as Held
from memhp.model.tree.tree import Tree
from saved_trees import SavedBlock, save_tree

PER_BLOCK = 32768
TEXT = """
kernel = "{kernel}"
[[node]]
memory = "512M"
"""
SHOWN = (
    PageKind.ANON,
    PageKind.CACHE,
    PageKind.SHMEM,
    PageKind.HUGE,
    PageKind.MLOCKED,
    PageKind.SLAB,
    PageKind.TABLE,
    PageKind.DRIVER,
    PageKind.POISONED,
    PageKind.HUGETLB,
    PageKind.HUGETLB_FREE,
)
"""Kinds of which the kernel's files show every page as what it is."""


def saved(root: Path, words: "np.ndarray[tuple[int], np.dtype[np.uint64]]", **states: str) -> Path:
    """A tree of whole blocks with these words."""
    blocks = {
        number: SavedBlock(state=states.get(f"memory{number}", "online"))
        for number in range(-(-len(words) // PER_BLOCK))
    }
    save_tree(root, blocks)
    (root / "proc").mkdir()
    (root / "proc/kpageflags").write_bytes(words.tobytes())
    return root


def full(word: int, blocks: int = 1) -> "np.ndarray[tuple[int], np.dtype[np.uint64]]":
    return np.full(blocks * PER_BLOCK, word, np.uint64)


@pytest.mark.parametrize("kernel_name", ["6.12", "6.1"])
def test_a_models_files_show_what_the_model_knows(tmp_path: Path, kernel_name: str) -> None:
    kernel = booted(TEXT.format(kernel=kernel_name))
    pages = open_pages(kernel)
    for kind, gfp, order, count in (
        (Held.ANON, GFP_HIGHUSER_MOVABLE, 0, 9000),
        (Held.FILE, GFP_HIGHUSER_MOVABLE, 0, 8000),
        (Held.SHMEM, GFP_HIGHUSER_MOVABLE, 0, 700),
        (Held.THP, GFP_HIGHUSER_MOVABLE, 9, 11),
        (Held.BALLOON, GFP_HIGHUSER_MOVABLE, 0, 600),
        (Held.SLAB, GFP_KERNEL, 3, 500),
        (Held.PAGE_TABLE, GFP_KERNEL, 0, 400),
        (Held.ZSMALLOC, GFP_HIGHUSER_MOVABLE, 0, 300),
    ):
        wanted = Request(gfp=gfp, node=NodeId(0), order=order, count=count)
        assert pages.allocate(wanted, kind, kind.value) is not None
    locked = Request(gfp=GFP_HIGHUSER_MOVABLE, node=NodeId(0), order=9, count=3)
    holding = pages.allocate(locked, Held.THP, "locked")
    assert holding is not None
    pages.holders.mlock(holding)
    words = np.frombuffer(Tree(kernel).read_bytes("/proc/kpageflags"), np.uint64)
    machine = open_linux(str(saved(tmp_path, words)))
    numbers = [BlockId(number) for number in range(len(words) // PER_BLOCK)]
    counted = machine.census(numbers)
    assert sum(counted[n].pages.get(PageKind.MLOCKED, 0) for n in numbers) == 3 * 512
    for number in numbers:
        known = pages.census(*kernel.block_pfns(number))
        seen = counted[number]
        assert seen.nr_pages == PER_BLOCK
        assert {k: seen.pages.get(k, 0) for k in SHOWN} == {k: known.get(k, 0) for k in SHOWN}
        # A free page on a per-CPU list and a plain one of the kernel look alike.
        assert seen.pages.get(PageKind.FREE, 0) <= known.get(PageKind.FREE, 0)


def test_blocks_and_their_own_memory_map(tmp_path: Path) -> None:
    words = full(0x400, 3)
    words[PER_BLOCK : PER_BLOCK + 512] = 1 << 37
    words[PER_BLOCK + 600] = 1 << 37
    machine = open_linux(str(saved(tmp_path, words, memory2="offline")))
    blocks = [BlockId(2), BlockId(1)]
    one = {PageKind.FREE: PER_BLOCK - 513, PageKind.KERNEL: 1, PageKind.OWN_MAP: 512}
    assert machine.census(blocks) == {
        BlockId(2): BlockCensus(block=BlockId(2), pages={PageKind.FREE: PER_BLOCK}),
        BlockId(1): BlockCensus(block=BlockId(1), pages=one),
    }
    assert Ability.CENSUS in machine.can
    assert machine.census([]) == {}


def test_a_block_of_several_pieces(tmp_path: Path) -> None:
    words = full(0x5828, 32)
    root = save_tree(tmp_path, {0: SavedBlock(), 1: SavedBlock()}, block_size="80000000")
    (root / "proc").mkdir()
    (root / "proc/kpageflags").write_bytes(words.tobytes())
    found = open_linux(str(root)).census([BlockId(1)])
    assert found[BlockId(1)].pages == {PageKind.ANON: 16 * PER_BLOCK}


def test_no_such_block(tmp_path: Path) -> None:
    machine = open_linux(str(saved(tmp_path, full(0))))
    with pytest.raises(NoSuchObject, match="has no memory7: see 'memhp ls'"):
        machine.census([BlockId(7)])


def test_a_file_that_ends_too_early(tmp_path: Path) -> None:
    root = saved(tmp_path, full(0, 2))
    os.truncate(root / "proc/kpageflags", PER_BLOCK * 8 + 4)
    machine = open_linux(str(root))
    assert machine.census([BlockId(0)])[BlockId(0)].pages == {PageKind.UNKNOWN: PER_BLOCK}
    with pytest.raises(MachineError, match=r"shows no pages of memory1: .* ends before it"):
        machine.census([BlockId(0), BlockId(1)])


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    root = saved(tmp_path, full(0))
    (root / "proc/kpageflags").unlink()
    (root / "proc/kpageflags").mkdir()
    with pytest.raises(MachineError, match=r"does not let .*kpageflags be read \(Is a directory\)"):
        open_linux(str(root)).census([BlockId(0)])


def notes_of(root: Path) -> tuple[str, ...]:
    machine = open_linux(str(root))
    return machine.census_notes(machine.census([BlockId(0)]).values())


def test_notes_say_what_is_known_from_elsewhere(tmp_path: Path) -> None:
    words = full(0x400)
    words[:3] = 0
    words[3] = 1 << 23
    root = saved(tmp_path, words)
    (root / "proc/vmstat").write_text(
        "nr_foll_pin_acquired 12\nnr_foll_pin_released 2\nballoon_inflate 9\nballoon_deflate 1\n"
    )
    (root / "proc/zoneinfo").write_text(
        "Node 0, zone   Normal\n        present  32768\n        managed  32768\n"
        "      nr_zspages   5\n  pagesets\n    cpu: 0\n              count: 2\n"
    )
    (root / "proc/42").mkdir()
    (root / "proc/42/status").write_text("Name:\tqemu\nVmPin:\t     400 kB\n")
    (root / "proc/42/fd").mkdir()
    (root / "proc/42/fd/9").symlink_to("/dev/vfio/17")
    notes = notes_of(root)
    firsts = ["unknown", "of", "5", "a", "10", "100", "process"]
    assert [note.split(" ")[0] for note in notes] == firsts
    assert "at most 2 can be free ones on per-CPU lists" in notes[1]
    assert "holds about 8 pages" in notes[3]
    assert "pinned by process 42 (VmPin)" in notes[5]


def test_memory_that_is_not_started_is_named(tmp_path: Path) -> None:
    root = saved(tmp_path, full(0))
    (root / "proc/zoneinfo").write_text(
        "Node 0, zone   Normal\n        present  32768\n        managed  1000\n"
    )
    assert any(note.startswith("31768 pages are present and not") for note in notes_of(root))


@pytest.fixture
def held(tmp_path: Path) -> Path:
    """One block, of which a process maps two pages and a cgroup is charged for three."""
    root = saved(tmp_path, full(0x5828))
    (root / "proc/42").mkdir()
    (root / "proc/42/comm").write_text("worker\n")
    (root / "proc/42/maps").write_text(
        "1000-4000 rw-p 00000000 00:00 0 \nffffffffff600000-ffffffffff601000 --xp 0 00:00 0\n"
    )
    entries = np.zeros(4, np.uint64)
    entries[1:] = [1 << 63 | 7, 1 << 63 | 8, 1 << 63 | (PER_BLOCK + 1)]
    (root / "proc/42/pagemap").write_bytes(entries.tobytes())
    group = root / "sys/fs/cgroup/jobs"
    group.mkdir(parents=True)
    charged = np.zeros(PER_BLOCK, np.uint64)
    charged[7:10] = group.stat().st_ino
    charged[10] = 1
    (root / "proc/kpagecgroup").write_bytes(charged.tobytes())
    return root


def test_owners(held: Path) -> None:
    found = open_linux(str(held)).owners([BlockId(0)])
    assert found.owners == (
        Owner(kind=OwnerKind.PROCESS, name="worker", nr_pages=2, pid=42),
        Owner(kind=OwnerKind.CGROUP, name="/jobs", nr_pages=3),
        Owner(
            kind=OwnerKind.CGROUP,
            name="a cgroup that is gone or not shown here (inode 1)",
            nr_pages=1,
        ),
    )
    assert len(found.notes) == 1
    assert "page_owner=on" in found.notes[0]


def test_a_huge_mapping_is_left_out_and_told(held: Path) -> None:
    (held / "proc/42/maps").write_text("1000-3000001000 rw-p 00000000 00:00 0 \n")
    found = open_linux(str(held)).owners([BlockId(0)])
    assert [owner.kind for owner in found.owners] == [OwnerKind.CGROUP, OwnerKind.CGROUP]
    assert any(note.startswith("1 mappings of more than 64 GiB") for note in found.notes)


def test_hidden_frames_are_told(held: Path) -> None:
    entries = np.full(4, 1 << 63, np.uint64)
    (held / "proc/42/pagemap").write_bytes(entries.tobytes())
    notes = open_linux(str(held)).owners([BlockId(0)]).notes
    assert "the kernel hides page frame numbers from this user: run it as root" in notes


def test_page_owner_names_the_caller(held: Path) -> None:
    place = held / "sys/kernel/debug/page_owner"
    place.parent.mkdir(parents=True)
    place.write_text(
        "Page allocated via order 3, mask 0xd20c0(__GFP_IO), pid 1, tgid 1 (init), ts 5 ns\n"
        "PFN 0x100 type Unmovable Block 0 type Unmovable Flags 0x0()\n"
        " post_alloc_hook+0x1/0x2\n get_page_from_freelist+0x1/0x2\n"
        " __alloc_pages_noprof+0x1/0x2\n allocate_slab+0x1/0x2\n kmem_cache_alloc_noprof+0x1/0x2\n"
        "\nPage allocated via order 0, mask 0x0(), pid 1, tgid 1 (init), ts 5 ns\n"
        f"PFN {PER_BLOCK} type Unmovable Block 0 type Unmovable Flags 0x0()\n other+0x1/0x2\n\n"
    )
    found = open_linux(str(held)).owners([BlockId(0)])
    assert found.owners[-1] == Owner(
        kind=OwnerKind.ALLOCATION, name="kmem_cache_alloc_noprof", nr_pages=8
    )
    assert found.notes == ()
