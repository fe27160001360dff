"""A kill at every write of an operation whose guest does not answer, and then it answers."""

import shutil
from pathlib import Path

import pytest

from kills import Killer, Note, in_a_child, in_ram, tell
from memhp.core.request import Remove, Replace, Request
from memhp.core.words import Ending
from memhp.model.kernel import Kernel
from memhp.operations.journal import Journals
from two_guests import Pair

__all__ = ["in_ram"]
TEXT = """
[[node]]
memory = "4G"
[guests.web]
command_line = "memhp_default_state=online_movable"
[[guests.web.node]]
memory = "1G"
[[guests.web.dimm]]
size = "256M"
[[guests.web.failures.silent]]
device = "dimm0"
[guests.db]
[[guests.db.node]]
memory = "1G"
"""
REQUESTS: dict[str, Request] = {
    "remove": Remove(device="dimm0"),
    "replace": Replace(device="dimm0"),
}


def come_round(pair: Pair, *, pinned: bool) -> None:
    """The guest hears what it was asked by now, and answers with its next change."""

    def hear(kernel: Kernel) -> None:
        slot = kernel.slots["dimm0"]
        slot.answers_after = 0
        if slot.waits is not None:
            slot.waits = 1
        if pinned:
            kernel.unmovable[slot.range.start // kernel.block_size_bytes] = "a pinned page"

    pair.change("web", hear)
    pair.machine("web").write_file(  # type: ignore[attr-defined]
        "/sys/devices/system/memory/auto_online_blocks", "online_movable"
    )


def is_begun(pair: Pair) -> bool:
    path = pair.folder / "1.journal"
    return path.exists() and b"\n" in path.read_bytes()


@pytest.mark.parametrize("name", REQUESTS)
def test_a_kill_at_every_write(name: str, in_ram: Path, record_property: Note) -> None:
    """Asked or not, heard of or not: it is resumed to its end, once the guest has answered."""
    pair = Pair(in_ram, TEXT)
    before = pair.standing()["web"]
    kept = in_ram / "kept"
    shutil.copy(pair.file, kept)
    points = 0
    for point in range(500):
        shutil.rmtree(pair.folder, ignore_errors=True)
        shutil.copy(kept, pair.file)
        pair.file.with_name(pair.file.name + "-journal").unlink(missing_ok=True)
        killed = in_a_child(Killer(point), lambda: pair.begin("web", REQUESTS[name]))
        if is_begun(pair):
            points += killed
            assert Journals(pair.folder).read("1").finished is None, point
            come_round(pair, pinned=False)
            assert pair.conductor("web").resume("1") is Ending.DONE, point
            after = pair.standing()["web"]
            assert (after == before) is (name == "replace"), point
        if not killed:
            break
    tell(record_property, f"{name}, without an answer", points)
    assert points > 10


def test_the_answer_is_no(in_ram: Path) -> None:
    """Everything comes back; what came late counts as if it had come at once."""
    pair = Pair(in_ram, TEXT)
    before = pair.standing()["web"]
    assert pair.begin("web", Remove(device="dimm0")) is Ending.UNKNOWN
    first = next(b.block for b in pair.look("web").blocks if b.device == "dimm0")
    pair.machine("web").write_file(  # type: ignore[attr-defined]
        f"/sys/devices/system/memory/memory{first}/state", "online_movable"
    )
    come_round(pair, pinned=True)
    assert pair.conductor("web").resume("1") is Ending.PUT_BACK
    assert pair.standing()["web"] == before
