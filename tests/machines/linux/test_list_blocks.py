"""Listing: which files are looked at, what comes of files that are not there, shares."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from memhp.core.errors import MachineError
from memhp.core.listing import BlockFile, BlockRun
from memhp.machines.linux.list_blocks import list_blocks
from memhp.machines.linux.read_files import folded
from memhp.machines.linux.root import Root
from memhp.machines.linux.shares import shared_out
from saved_trees import SavedBlock, save_tree

WATCHED = """
import sys
seen = set()
def watch(event, args):
    if event in {"open", "os.listdir", "os.scandir"}:
        seen.add(str(args[0]).rpartition("/")[2])
sys.addaudithook(watch)
from memhp.interfaces.cli.main import main
main(sys.argv[1:])
names = {"state", "removable", "valid_zones", "config", "memmap_on_memory", "node", "memory0"}
print(*sorted(seen & names), file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("options", "read"),
    [
        ([], "removable state"),
        (["-o", "RANGE,SIZE", "--summary=never"], ""),
        (["-o", "RANGE,SIZE", "-S", "none", "--summary=never"], ""),
        (["-o", "RANGE,SIZE", "-S", "none"], "state"),
        (["-r", "-o", "BLOCK", "-S", "ZONES"], "valid_zones"),
        (["-r", "-o", "BLOCK,NODE"], "memory0 node"),
        (["--summary"], "state"),
        (["-J", "--output-all"], "memory0 node removable state valid_zones"),
        (["-r", "-o", "CONFIGURED"], "config"),
        (["-r", "-o", "BLOCK,MEMMAP-ON-MEMORY"], "memmap_on_memory"),
    ],
)
def test_only_what_the_columns_need_is_read(options: list[str], read: str, tmp_path: Path) -> None:
    root = save_tree(tmp_path, {0: SavedBlock(), 1: SavedBlock()})
    (root / "sys/firmware/memory/memory0").mkdir(parents=True)
    command = [sys.executable, "-c", WATCHED, "ls", "-s", str(root), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == f"{read}\n"


def test_what_was_not_asked_for_is_none(tmp_path: Path) -> None:
    root = Root(str(save_tree(tmp_path, {n: SavedBlock() for n in (0, 1, 3)})), "linux:x")
    assert list_blocks(root, BlockFile(0)).runs == [
        BlockRun(first=0, nr_blocks=2),
        BlockRun(first=3, nr_blocks=1),
    ]
    assert list_blocks(root, BlockFile.NODE | BlockFile.ZONES).runs == [
        BlockRun(first=0, nr_blocks=2, node=0, zones=("Normal",)),
        BlockRun(first=3, nr_blocks=1, node=0, zones=("Normal",)),
    ]
    assert list_blocks(root, BlockFile.CONFIGURED).runs[0].configured is None


@pytest.mark.parametrize("node_folders", [True, False])
def test_nodes_part_runs(node_folders: bool, tmp_path: Path) -> None:
    nodes = [(0,), (0,), (1,), (), (1,), (1,)]
    blocks = {number: SavedBlock(nodes=of) for number, of in enumerate(nodes)}
    root = Root(str(save_tree(tmp_path, blocks, node_folders=node_folders)), "linux:x")
    found = [(r.first, r.nr_blocks, r.node) for r in list_blocks(root, BlockFile.NODE).runs]
    assert found == [(0, 2, 0), (2, 1, 1), (3, 1, -1), (4, 2, 1)]


def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    root = save_tree(tmp_path, {0: SavedBlock()})
    (root / "sys/firmware").mkdir()
    (root / "sys/firmware/memory").write_text("")
    with pytest.raises(MachineError, match=r"does not let .*/sys/firmware/memory be read"):
        list_blocks(Root(str(root), "linux:x"), BlockFile.CONFIGURED)


def test_neighbours_are_folded() -> None:
    runs = [(0, 1, (b"a",)), (1, 2, (b"a",)), (3, 1, (b"b",)), (5, 1, (b"b",)), (6, 1, (b"b",))]
    assert list(folded(runs)) == [(0, 3, (b"a",)), (3, 1, (b"b",)), (5, 2, (b"b",))]
    assert list(folded([])) == []


@pytest.fixture
def four_processors(monkeypatch: pytest.MonkeyPatch) -> int:
    """Shares are made wherever the tests run; returns the process that they run in."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(4)))
    return os.getpid()


@pytest.mark.parametrize("amount", [0, 1, 4095, 8191, 8192, 20_001])
def test_shares_come_together_in_order(amount: int, four_processors: int) -> None:
    numbers = range(amount)
    found = shared_out(lambda share: [(n, os.getpid()) for n in share], numbers)
    assert [n for n, _ in found] == list(numbers)
    assert len({pid for _, pid in found}) == min(4, max(1, amount // 4096), amount)
    assert found[:1] == [(0, four_processors)][:amount]


@pytest.mark.parametrize("how", ["killed", "raised", "unsendable"])
def test_what_another_could_not_read_this_one_reads(how: str, four_processors: int) -> None:
    def read(share: Sequence[int]) -> list[object]:
        if os.getpid() != four_processors:
            if how == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            if how == "raised":
                raise MemoryError
            return [object()]
        return list(share)

    assert shared_out(read, range(9000)) == list(range(9000))


def test_what_nobody_can_read_is_an_error(four_processors: int) -> None:
    def read(share: Sequence[int]) -> list[int]:
        if share[0]:
            raise MachineError(machine="x", problem="is gone")
        return list(share)

    with pytest.raises(MachineError):
        shared_out(read, range(9000))
    assert four_processors == os.getpid()


@pytest.fixture
def nobody_waits() -> Iterator[None]:
    """As under a parent that ignores the end of its children."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGCHLD, before)


@pytest.mark.usefixtures("four_processors", "nobody_waits")
def test_where_ends_of_processes_are_ignored() -> None:
    assert shared_out(list, range(9000)) == list(range(9000))


@pytest.mark.usefixtures("four_processors")
def test_where_no_process_may_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> int:
        raise BlockingIOError

    monkeypatch.setattr(os, "fork", refuse)
    assert shared_out(list, range(9000)) == list(range(9000))
