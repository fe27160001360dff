"""A second look at pages that the first could not tell: what changes, and what stays unknown."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from memhp.core.census import PageKind
from memhp.core.geometry import BlockId
from memhp.core.owners import CountedTwice
from memhp.machines.linux.census import count_twice
from memhp.machines.linux.machine import open_linux
from memhp.machines.linux.root import Root
from memhp.machines.linux.second_look import PAUSE
from saved_kcore import BASE, NOTE, save_kcore, structs_of
from saved_trees import SavedBlock, save_tree

PAGES = 512
BUDDY, ANON, OFFLINE = 1 << 10, 0x5828, 1 << 23


@pytest.fixture
def root(tmp_path: Path) -> Root:
    """Block 0 in a kernel zone and block 1 in Movable, of 512 pages each; 2 is offline."""
    blocks = {
        0: SavedBlock(),
        1: SavedBlock(valid_zones="Movable"),
        2: SavedBlock(state="offline"),
    }
    save_tree(tmp_path, blocks, block_size="200000")
    (tmp_path / "proc").mkdir()
    return Root(str(tmp_path), f"linux:{tmp_path}")


def shows(root: Root, **words: int) -> None:
    """Two blocks of free pages, but for those named by their place (``p7``)."""
    found = np.full(2 * PAGES, BUDDY, np.uint64)
    for place, word in words.items():
        found[int(place[1:])] = word
    Path(root.path("proc/kpageflags")).write_bytes(found.tobytes())


def counted(root: Root, later: Callable[[], None]) -> CountedTwice:
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        later()

    found = count_twice(root, [BlockId(n) for n in range(3)], pause=pause)
    assert pauses == [PAUSE]
    return found


def test_pages_count_as_they_show_last(root: Root) -> None:
    shows(root, p1=0, p2=0, p3=0, p4=ANON, p600=0)
    # What was told at the first look is not looked at again.
    found = counted(root, lambda: shows(root, p2=ANON, p3=0, p4=0, p5=0))
    assert found.counted[BlockId(0)].pages == {
        PageKind.FREE: PAGES - 3,
        PageKind.ANON: 2,
        PageKind.UNKNOWN: 1,
    }
    assert found.counted[BlockId(1)].pages == {PageKind.FREE: PAGES}
    assert found.counted[BlockId(2)].pages == {PageKind.FREE: PAGES}
    assert found.notes == (
        "4 unknown pages were looked at again 0.2 s later: 2 free, 1 anonymous; 1 still unknown",
    )


def test_where_nothing_changes_nothing_is_claimed(root: Root) -> None:
    shows(root, p1=0, p9=OFFLINE)
    found = counted(root, lambda: None)
    assert found.counted[BlockId(0)].pages[PageKind.UNKNOWN] == 1
    assert found.notes == (
        "1 unknown pages were looked at again 0.2 s later: all of them still unknown",
        "1 driver pages were looked at again 0.2 s later: all of them still driver",
    )


def test_where_all_is_told_at_once_nobody_waits(root: Root) -> None:
    shows(root)
    found = count_twice(root, [BlockId(0)], pause=lambda _: pytest.fail("it waited"))
    assert found.notes == ()


def test_page_structures_tell_what_flags_do_not(root: Root) -> None:
    """Frames 1 to 3 of a kernel zone, 8 and 9 a driver's; 600 and 601 in Movable."""
    shows(root, p1=0, p2=0, p3=0, p8=OFFLINE, p9=OFFLINE, p600=0, p601=0)
    of_page = {1: (0, 0), 2: (1, 0), 3: (1, 0x1002), 8: (1, 0x1002), 9: (1, 0), 601: (1, 0)}
    structs = structs_of(of_page.get(number, (0, 0)) for number in range(2 * PAGES))
    save_kcore(Path(root.folder), NOTE + f"SYMBOL(vmemmap)={BASE:x}\n".encode(), structs)
    found = counted(root, lambda: None)
    assert found.counted[BlockId(0)].pages == {
        PageKind.FREE: PAGES - 4,
        PageKind.MOVABLE: 2,
        PageKind.KERNEL: 1,
        PageKind.DRIVER: 1,
    }
    # A plain page that is in use is on its way there.
    assert found.counted[BlockId(1)].pages == {PageKind.FREE: PAGES - 1, PageKind.UNKNOWN: 1}
    assert found.notes[0] == (
        "5 unknown pages and their structures (/proc/kcore) were looked at again 0.2 s later: "
        "2 free, 1 otherwise movable, 1 other kernel; 1 still unknown"
    )


def test_a_saved_tree_is_looked_at_once(root: Root) -> None:
    shows(root, p1=0)
    found = open_linux(root.folder).census_twice([BlockId(0)])
    assert found.counted[BlockId(0)].pages[PageKind.UNKNOWN] == 1
    assert found.notes == ()
