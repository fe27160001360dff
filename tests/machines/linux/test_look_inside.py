"""Looking into blocks where page structures are hidden: plain pages, looked at again."""

from pathlib import Path

import numpy as np
import pytest

from memhp.core.evidence import BlockEvidence, Held
from memhp.core.geometry import BlockId
from memhp.core.snapshot import Want
from memhp.machines.linux.look_inside import PAUSES, look_inside
from memhp.machines.linux.root import Root
from memhp.machines.linux.take_snapshot import take_snapshot
from memhp.operations.predict_offline import Answer, predict_all
from saved_trees import SavedBlock, save_tree

PAGES = 2048
BUDDY, UPTODATE, SLAB = 1 << 10, 1 << 3, 1 << 7
ZONEINFO = """\
Node 0, zone   Normal
  pages free     9000
        min      10
        present  9000
        managed  9000
      nr_zspages   {compressed}
  pagesets
    cpu: 0
              count: {cached}
Node 0, zone  Movable
  pages free     9000
        managed  9000
  pagesets
    cpu: 0
              count: 0
"""


@pytest.fixture
def root(tmp_path: Path) -> Root:
    """Blocks 0 and 1 in a kernel zone, 2 in Movable."""
    blocks = {0: SavedBlock(), 1: SavedBlock(), 2: SavedBlock(valid_zones="Movable")}
    save_tree(tmp_path, blocks, block_size="800000")
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/kpagecount").write_bytes(bytes(3 * PAGES * 8))
    return Root(str(tmp_path), "linux:x")


def show(root: Root, *firsts: int, word: int = 0, cached: int = 100, compressed: int = 0) -> None:
    """So many pages at the start of each block show a word, and the others are free."""
    words = np.full(3 * PAGES, BUDDY, np.uint64)
    for number, count in enumerate(firsts):
        words[number * PAGES : number * PAGES + count] = word
    Path(root.path("proc/kpageflags")).write_bytes(words.tobytes())
    text = ZONEINFO.format(cached=cached, compressed=compressed)
    Path(root.path("proc/zoneinfo")).write_text(text)


def looked(root: Root, *later: int) -> tuple[tuple[BlockEvidence, ...], list[Answer]]:
    """Look while, at the second look, the blocks show ``later``."""
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if later:
            show(root, *later)

    snapshot = take_snapshot(root, name="x", identity="x", want=Want.BLOCKS)
    evidence = look_inside(root, snapshot, [BlockId(n) for n in range(3)], pause=pause)
    assert pauses in ([], list(PAUSES))
    return evidence.blocks, [prediction.answer for prediction in predict_all(evidence)]


def test_more_than_the_zone_s_lists_hold_is_the_kernel_s(root: Root) -> None:
    show(root, 1000, 300, 1000)
    blocks, answers = looked(root)
    assert answers == [Answer.NO, Answer.UNKNOWN, Answer.YES]
    assert [block.lasting for block in blocks] == [
        {Held.PLAIN: 1000},
        {Held.PLAIN: 300},
        {Held.PLAIN: 1000},
    ]
    assert [block.most_nobodys for block in blocks] == [100, 100, 0]
    # In Movable they do not matter, so nobody looks again.
    assert [block.looks for block in blocks] == [5, 5, 1]


@pytest.mark.parametrize("holds", [{"cached": 800}, {"compressed": 800}])
def test_what_may_be_free_or_move_is_not_the_kernel_s(root: Root, holds: dict[str, int]) -> None:
    show(root, 1000, 0, 0, **holds)
    assert looked(root)[1] == [Answer.UNKNOWN, Answer.YES, Answer.YES]


def test_what_has_gone_by_the_last_look_was_on_its_way(root: Root) -> None:
    show(root, 1000, 1000, 0)
    blocks, answers = looked(root, 0, 400, 0)
    assert answers == [Answer.YES, Answer.NO, Answer.YES]
    assert [block.lasting for block in blocks] == [{}, {Held.PLAIN: 400}, {}]


def test_pages_with_any_flag_are_not_counted_against_the_lists(root: Root) -> None:
    show(root, 1000, 0, 0, word=UPTODATE)
    assert looked(root)[1] == [Answer.UNKNOWN, Answer.YES, Answer.YES]


def test_where_it_is_no_already_nobody_looks_at_plain_pages_again(root: Root) -> None:
    show(root, 1500, 0, 0, word=SLAB)
    with Path(root.path("proc/kpageflags")).open("r+b") as file:
        file.seek(1600 * 8)
        file.write(bytes(300 * 8))
    block = looked(root)[0][0]
    assert (block.kinds[Held.PLAIN], block.looks) == (300, 1)
