"""Processes that hold pages in place, from a tree of files."""

import struct
from pathlib import Path

import pytest

from memhp.core.evidence import Pinner
from memhp.core.geometry import BlockId
from memhp.machines.linux.pinners import PinningTask, read_pinners, read_pinning_tasks
from memhp.machines.linux.root import Root

PAGES = 32768
KERNEL_BLOCKS = [BlockId(0), BlockId(1), BlockId(5)]


@pytest.fixture
def root(tmp_path: Path) -> Root:
    """A database that pins, a virtual machine with a device, and a shell that does neither."""
    task(tmp_path, 7, "Name:\tdb\nVmPin:\t    8192 kB\n", [5, PAGES + 1, PAGES + 2, 9 * PAGES])
    task(tmp_path, 12, "Name:\tsh\nVmPin:\t       0 kB\n", [6])
    task(tmp_path, 30, "Name:\tqemu\n", [7, 5 * PAGES])
    (tmp_path / "proc/30/fd").mkdir()
    (tmp_path / "proc/30/fd/4").symlink_to("/dev/vfio/17")
    (tmp_path / "proc/31").mkdir()
    return Root(str(tmp_path), "linux:x")


def task(tree: Path, pid: int, status: str, frames: list[int]) -> None:
    folder = tree / f"proc/{pid}"
    folder.mkdir(parents=True)
    (folder / "status").write_text(status)
    (folder / "maps").write_text(f"1000-{(len(frames) + 2) * 4096:x} rw-p 00000000 00:00 0 \n")
    words = [0, *(1 << 63 | frame for frame in frames), 0]
    (folder / "pagemap").write_bytes(struct.pack(f"<{len(words)}Q", *words))


def _by_block(pages: dict[int, int]) -> dict[BlockId, int]:
    return {BlockId(block): count for block, count in pages.items()}


def test_who_pins_and_who_drives_a_device(root: Root) -> None:
    assert read_pinning_tasks(root) == (
        PinningTask(pid=7, name="db", pinned_pages=2048, drives_device=False),
        PinningTask(pid=30, name="qemu", pinned_pages=0, drives_device=True),
    )


def test_where_their_pages_lie(root: Root) -> None:
    """Block 9 is movable: whoever pins for long has moved out of it."""
    assert read_pinners(root, KERNEL_BLOCKS, PAGES) == [
        Pinner(owner="process 7 (db)", pinned_pages=2048, pages=_by_block({0: 1, 1: 2})),
        Pinner(owner="process 30 (qemu)", pinned_pages=None, pages=_by_block({0: 1, 5: 1})),
    ]


def test_one_that_has_ended_has_none(root: Root, tmp_path: Path) -> None:
    (tmp_path / "proc/7/pagemap").unlink()
    (tmp_path / "proc/30/maps").unlink()
    assert [pinner.pages for pinner in read_pinners(root, KERNEL_BLOCKS, PAGES)] == [{}, {}]
