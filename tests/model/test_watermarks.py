"""Watermarks and reserves equal what real kernels print in ``/proc/zoneinfo``.

The two files are from guests of 3 GiB and 2 GiB with a DIMM of 256 MiB that
came online movable on the second node.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from booted import booted
from memhp.core.geometry import NodeId
from memhp.core.words import ZoneType
from memhp.model.kernel import Kernel
from memhp.model.tree.tree import Tree
from memhp.model.watermarks import lowmem_reserve, min_free_kbytes, watermarks

FOLDER = Path(__file__).parent / "zoneinfo"
Row = dict[str, int | tuple[int, ...]]


def recorded(text: str) -> Iterator[tuple[NodeId, ZoneType, Row]]:
    """Each zone with its rows, from the kernel's own text."""
    for part in re.split(r"^Node ", text, flags=re.MULTILINE)[1:]:
        node, zone = re.match(r"(\d+), zone +(\w+)", part).groups()  # type: ignore[union-attr]
        rows = re.findall(r"^ +(\w+) +(\d+)$", part, re.MULTILINE)
        row: Row = {name: int(value) for name, value in rows}
        numbers = re.search(r"protection: \((.*)\)", part)
        assert numbers
        row["protection"] = tuple(int(number) for number in numbers[1].split(", "))
        yield NodeId(int(node)), ZoneType(zone), row


def like_recorded(release: str, text: str) -> Kernel:
    """A kernel whose zones manage what the recorded ones do."""
    kernel = booted(f'kernel = "{release}"\n[[node]]\nmemory = "3G"\n[[node]]\nmemory = "2G"\n')
    kernel.zones.clear()
    for node, zone_type, row in recorded(text):
        zone = kernel.zone(node, zone_type)
        zone.managed, zone.present = int(row["managed"]), int(row["present"])  # type: ignore[arg-type]
    return kernel


@pytest.mark.parametrize("release", ["6.1", "6.12"])
def test_marks_and_reserves_of_every_zone(release: str) -> None:
    text = (FOLDER / f"{release}.txt").read_text()
    kernel = like_recorded(release, text)
    for node, zone_type, row in recorded(text):
        zone = kernel.zone(node, zone_type)
        marks = watermarks(kernel, zone)
        modelled = (marks.minimum, marks.low, marks.high, lowmem_reserve(kernel, zone))
        assert modelled == (row["min"], row["low"], row["high"], row["protection"])
        if "promo" in row:
            assert marks.promo == row["promo"]


@pytest.mark.parametrize("release", ["6.1", "6.12"])
def test_min_free_kbytes(release: str) -> None:
    text = (FOLDER / f"{release}.txt").read_text()
    assert min_free_kbytes(like_recorded(release, text)) == 67584


def test_the_file_has_the_recorded_rows() -> None:
    """The model's own ``/proc/zoneinfo`` reads like the kernel's: same rows, same zones."""
    text = (FOLDER / "6.12.txt").read_text()
    own = Tree(like_recorded("6.12", text)).read("/proc/zoneinfo")
    of_kernel = [(node, zone, row.keys()) for node, zone, row in recorded(text)]
    of_model = [
        (node, zone, {name: row[name] for name in wanted}.keys())
        for (node, zone, row), (_, _, wanted) in zip(recorded(own), of_kernel, strict=True)
    ]
    assert of_model == of_kernel


def test_a_large_movable_zone_keeps_user_pages_out_of_normal() -> None:
    kernel = booted(
        'command_line = "memhp_default_state=online_movable"\n'
        '[[node]]\nmemory = "8G"\n[[dimm]]\nsize = "64G"\n'
    )
    normal = kernel.zone(NodeId(0), ZoneType.NORMAL)
    movable = kernel.zone(NodeId(0), ZoneType.MOVABLE)
    assert lowmem_reserve(kernel, normal)[ZoneType.MOVABLE.order] == movable.managed // 32
