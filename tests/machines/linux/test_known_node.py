"""Zones are read only of blocks that are online or have a node: Linux 6.12 dies of the others."""

from pathlib import Path

import pytest

from memhp.core.listing import BlockFile
from memhp.machines.linux.block_nodes import first_node_of_blocks
from memhp.machines.linux.known_node import nodes_matter
from memhp.machines.linux.list_blocks import list_blocks
from memhp.machines.linux.read_files import BlockPath, NeedsNode, read_files
from memhp.machines.linux.root import MEMORY, Root
from saved_trees import SavedBlock, save_tree

ZONES = BlockPath(MEMORY, "valid_zones")
STATE = BlockPath(MEMORY, "state")
OFFLINE = SavedBlock(state="offline", valid_zones="Normal Movable")


@pytest.fixture
def coming(tmp_path: Path) -> Root:
    """Block 2 has just come and has no node; 1 is going; 3 and 5 are of another node."""
    blocks = {
        0: SavedBlock(),
        1: SavedBlock(state="going-offline", valid_zones="Normal Movable"),
        2: SavedBlock(state="offline", valid_zones="the kernel dies of this", nodes=()),
        3: SavedBlock(state="offline", valid_zones="Normal Movable", nodes=(7,)),
        4: SavedBlock(state="offline", valid_zones="and of this", nodes=()),
        5: SavedBlock(state="offline", valid_zones="Normal Movable", nodes=(7,)),
        6: SavedBlock(nodes=()),
    }
    return Root(str(save_tree(tmp_path, blocks)), "linux:x")


def test_zones_of_a_block_without_a_node_are_left_alone(coming: Root) -> None:
    found = read_files(coming, (STATE, ZONES), range(7), NeedsNode(1, 0))
    assert [texts for _, _, texts in found] == [
        (b"online\n", b"Normal\n"),
        (b"going-offline\n", b"Normal Movable\n"),
        (b"offline\n", None),
        (b"offline\n", b"Normal Movable\n"),
        (b"offline\n", None),
        (b"offline\n", b"Normal Movable\n"),
        (b"online\n", b"Normal\n"),
    ]


def test_where_the_state_is_not_read_every_block_needs_its_node(coming: Root) -> None:
    found = read_files(coming, (ZONES,), range(7), NeedsNode(0, None))
    known = [number for number, count, (zones,) in found for _ in range(count) if zones]
    assert known == [0, 1, 3, 5]


def test_a_block_that_is_gone_has_no_node(coming: Root) -> None:
    assert read_files(coming, (ZONES,), [9], NeedsNode(0, None)) == [(9, 1, (None,))]


def test_a_saved_tree_is_read_as_it_is(coming: Root) -> None:
    assert not nodes_matter(coming)
    runs = list_blocks(coming, BlockFile.STATE | BlockFile.ZONES).runs
    assert runs[2].zones == ("the", "kernel", "dies", "of", "this")


def test_this_host_lists_its_zones_all_the_same() -> None:
    here = Root("/", "linux:")
    if not (Path("/") / MEMORY / "memory0/valid_zones").exists():
        pytest.skip("this machine shows no memory blocks")
    listing = list_blocks(here, BlockFile.STATE | BlockFile.ZONES)
    numbers = [run.first for run in listing.runs]
    assert nodes_matter(here) == (first_node_of_blocks(here, numbers) is not None)
    assert all(run.zones for run in listing.runs)
