"""What a zone's per-CPU lists say of its pages without flags."""

from pathlib import Path

import pytest

from memhp.core.geometry import BlockId, NodeId
from memhp.core.words import ZoneType
from memhp.machines.linux.root import Root
from memhp.machines.linux.unknown_pages import notes_of_unknown
from memhp.machines.linux.zone_lists import ZoneLists, ZoneName, most_of_both, read_zone_lists

NORMAL: ZoneName = (NodeId(0), ZoneType.NORMAL)
OTHER: ZoneName = (NodeId(1), ZoneType.NORMAL)
MOVABLE: ZoneName = (NodeId(0), ZoneType.MOVABLE)
ZONEINFO = """\
Node 0, zone   Normal
  pages free     100
        present  80000
        managed  79000
      nr_zspages   7
      nr_unaccepted 20
  pagesets
    cpu: 0
              count: 61
              high:  1981
              batch: 63
    cpu: 1
              count:    400
              high:     1981
Node 0, zone  Movable
        present  16000
        managed  1000
  pagesets
    cpu: 0
              count: 5
Node 0, zone   Device
        present  0
        managed  0
"""


def test_lists_are_added_up_zone_by_zone(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/zoneinfo").write_text(ZONEINFO)
    assert read_zone_lists(Root(str(tmp_path), "linux:x")) == {
        NORMAL: ZoneLists(cached=461, others=27),
        MOVABLE: ZoneLists(cached=5, others=15000),
    }


def test_without_the_file_nothing_is_known(tmp_path: Path) -> None:
    assert read_zone_lists(Root(str(tmp_path), "linux:x")) == {}


def test_between_two_readings_the_larger_counts() -> None:
    before = {NORMAL: ZoneLists(cached=5, others=2), OTHER: ZoneLists(cached=9)}
    after = {NORMAL: ZoneLists(cached=3, others=9)}
    assert most_of_both(before, after) == {NORMAL: 12, OTHER: 9}


@pytest.mark.parametrize(
    ("unknown", "said"),
    [
        ({}, ()),
        (
            {NORMAL: {BlockId(4): 90, BlockId(5): 10}},
            (
                "of 100 unknown pages in zones of kernel memory at most 60 can be free ones on "
                "per-CPU lists (zoneinfo)",
            ),
        ),
        (
            {NORMAL: {BlockId(4): 900, BlockId(5): 10, BlockId(6): 320}, OTHER: {BlockId(9): 7}},
            (
                "of 1237 unknown pages in zones of kernel memory at most 67 can be free ones on "
                "per-CPU lists (zoneinfo); about 1165 or more are the kernel's",
                "memory4: more unknown pages than that, so some of them are the kernel's",
            ),
        ),
        (
            {MOVABLE: {BlockId(8): 70000}},
            (
                "70000 of the unknown pages are in zone Movable, where the kernel has no plain "
                "pages of its own: they are free, or move",
            ),
        ),
        ({(NodeId(5), ZoneType.DMA): {BlockId(0): 5000}}, ()),
    ],
    ids=["none", "within the lists", "beyond them", "Movable", "a zone nobody knows"],
)
def test_what_is_said(unknown: dict[ZoneName, dict[BlockId, int]], said: tuple[str, ...]) -> None:
    lists = {
        NORMAL: ZoneLists(cached=60, others=5),
        OTHER: ZoneLists(cached=400),
        MOVABLE: ZoneLists(cached=1),
    }
    assert tuple(notes_of_unknown(unknown, lists)) == said
