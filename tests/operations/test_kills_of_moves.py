"""A kill at every write while memory moves between two guests: nothing is lost or doubled.

The same as in ``test_kills.py``, with two machines in one state file; and with
either of them restarted before anybody goes on.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kills import Killer, Note, in_a_child, in_ram, tell
from memhp.core.errors import JournalError
from memhp.core.request import Conditions
from memhp.core.words import Ending, OnlineType
from memhp.model.kernel import Kernel
from memhp.model.store import StateFile
from memhp.operations.journal import Journals
from two_guests import MIB, Pair

__all__ = ["in_ram"]
TEXT = """
[[node]]
memory = "8G"

[guests.web]
command_line = "memhp_default_state=online_movable"
[[guests.web.node]]
memory = "1G"
[[guests.web.virtio_mem]]
size = "1G"
requested = "256M"
[[guests.web.dimm]]
size = "256M"
[[guests.web.dimm]]
size = "128M"

[guests.db]
command_line = "memhp_default_state=offline"
[[guests.db.node]]
memory = "1G"
[[guests.db.virtio_mem]]
size = "256M"
"""
ALL = Conditions(all_or_nothing=True)


def nothing(_kernel: Kernel) -> None:
    """Everything goes well."""


def hold_one_block(kernel: Kernel) -> None:
    """Half of the virtio-mem device cannot be freed, and nothing of the larger DIMM."""
    device = kernel.virtio_mem["virtio-mem0"]
    device.held[min(device.plugged)] = -1 & (1 << 64) - 1
    first = kernel.slots["dimm0"].range.start // kernel.block_size_bytes
    kernel.unmovable[first] = "a pinned page"


Case = tuple[int, Conditions, Callable[[Kernel], None], Ending]
MOVES: dict[str, Case] = {
    "virtio-mem": (130 * MIB, Conditions(), nothing, Ending.DONE),
    "a DIMM, and a new one": (384 * MIB, Conditions(), nothing, Ending.DONE),
    "a part": (384 * MIB, Conditions(), hold_one_block, Ending.PARTLY),
    "all or nothing": (384 * MIB, ALL, hold_one_block, Ending.PUT_BACK),
}


class Moving:
    """A pair of guests as before, for as often as it is wanted."""

    def __init__(self, folder: Path, name: str) -> None:
        self.size_bytes, self.conditions, wrong, self.ending = MOVES[name]
        self._fresh = folder / "fresh"
        self._fresh.mkdir()
        self.pair = Pair(self._fresh, TEXT)
        self.pair.change("web", wrong)
        self.before = self.pair.standing()
        self._kept = folder / "kept.machine"
        shutil.copy(self.pair.file, self._kept)
        assert self.move() is self.ending
        self.after = self.pair.standing()

    def move(self) -> Ending:
        return self.pair.move(self.size_bytes, self.conditions, zone=OnlineType.ONLINE_MOVABLE)

    def killed_at(self, point: int) -> bool:
        """Begin anew and be killed; false where it came to its end before."""
        shutil.rmtree(self.pair.folder, ignore_errors=True)
        shutil.copy(self._kept, self.pair.file)
        journal = self.pair.file.with_name(self.pair.file.name + "-journal")
        journal.unlink(missing_ok=True)
        return in_a_child(Killer(point), self.move)

    def has_begun(self) -> bool:
        """Whether there is a journal with its first line, and so something to go on with."""
        path = self.pair.folder / "1.journal"
        return path.exists() and b"\n" in path.read_bytes()

    def is_open(self) -> bool:
        return Journals(self.pair.folder).read("1").finished is None


@pytest.mark.parametrize("how", ["resume", "undo"])
@pytest.mark.parametrize("name", MOVES)
def test_a_kill_at_every_write(name: str, how: str, in_ram: Path, record_property: Note) -> None:
    moving = Moving(in_ram, name)
    points = 0
    for point in range(2000):
        if not moving.killed_at(point):
            break
        points += 1
        if not moving.has_begun():
            assert moving.pair.standing() == moving.before, point
        elif how == "undo":
            assert moving.pair.conductor().undo("1") is Ending.DONE, point
            assert moving.pair.standing() == moving.before, point
        else:
            if moving.is_open():
                assert moving.pair.conductor().resume("1") is moving.ending, point
            assert moving.pair.standing() == moving.after, point
    tell(record_property, f"move, {name}, then {how}", points)
    assert points > 20


@pytest.mark.parametrize("restarted", ["web", "db"])
def test_a_kill_and_then_a_guest_dies(restarted: str, in_ram: Path, record_property: Note) -> None:
    """Nothing is gone on with; the guest that still runs becomes what it was."""
    moving = Moving(in_ram, "a DIMM, and a new one")
    other = {"web": "db", "db": "web"}[restarted]
    points = 0
    for point in range(0, 2000, 3):
        if not moving.killed_at(point):
            break
        with StateFile.open(moving.pair.file) as state:
            state.restart(restarted)
        if moving.has_begun():
            points += 1
            stays_as_it_is(moving, other, point)
    tell(record_property, f"move, killed, and {restarted} died", points)
    assert points > 10


def stays_as_it_is(moving: Moving, other: str, point: int) -> None:
    here: Any = moving.pair.standing()
    if moving.is_open():
        with pytest.raises(JournalError, match="has been booted since"):
            moving.pair.conductor().resume("1")
    with pytest.raises(JournalError, match="has been booted since"):
        moving.pair.conductor().undo("1")
    assert moving.pair.standing() == here, point
    assert moving.pair.conductor(other).undo("1", only=True) is Ending.DONE, point
    assert moving.pair.standing()[other] == moving.before[other], point
