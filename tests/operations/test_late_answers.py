"""A guest that answers late, or never: the device is left alone, and the answer is taken."""

from pathlib import Path

import pytest

from memhp.core.errors import AnswerPending, JournalError
from memhp.core.geometry import BlockId
from memhp.core.outcome import Done, Partly, Refused, Unanswered
from memhp.core.request import Offline, Online, Remove, Replace, Request, Resize
from memhp.core.targets import Blocks
from memhp.core.words import BlockState, Ending
from memhp.model.kernel import Kernel
from memhp.model.store import StateFile
from memhp.operations.journal import Journals
from memhp.operations.journal_records import Story
from two_guests import MIB, Pair

SILENT = """
[[node]]
memory = "8G"
[guests.web]
command_line = "memhp_default_state=online_movable"
dimm_slots = 4
[[guests.web.node]]
memory = "1G"
[[guests.web.dimm]]
size = "256M"
[[guests.web.dimm]]
size = "256M"
[[guests.web.virtio_mem]]
size = "1G"
requested = "256M"
[[guests.web.failures.silent]]
device = "dimm0"
{when}
[guests.db]
[[guests.db.node]]
memory = "1G"
[[guests.db.virtio_mem]]
size = "1G"
"""
OTHER = Blocks(blocks=(BlockId(40), BlockId(41)))
"""Blocks of the second DIMM, which has nothing to do with it."""


def pair_that_answers(folder: Path, when: str) -> Pair:
    return Pair(folder, SILENT.format(when=when))


@pytest.fixture
def never(tmp_path: Path) -> Pair:
    return pair_that_answers(tmp_path, "")


def story(pair: Pair, name: str = "1") -> Story:
    return Journals(pair.folder).read(name)


def answer(kernel: Kernel) -> None:
    """The guest comes round to it with the next change."""
    kernel.slots["dimm0"].waits = 1


def pin(kernel: Kernel) -> None:
    """It will answer no."""
    first = kernel.slots["dimm0"].range.start // kernel.block_size_bytes
    kernel.unmovable[first] = "a pinned page"


def tick(pair: Pair) -> None:
    """One more change of the guest, of no consequence."""
    pair.machine("web").write_file(  # type: ignore[attr-defined]
        "/sys/devices/system/memory/auto_online_blocks", "online_movable"
    )


def something_else(pair: Pair) -> Ending:
    """A change of the guest that has nothing to do with the device."""
    state = pair.look("web").blocks[-1].state
    targets = (Blocks(blocks=(pair.look("web").blocks[-1].block,)),)
    offline = state is BlockState.OFFLINE
    return pair.begin("web", Online(targets=targets) if offline else Offline(targets=targets))


def test_no_answer_leaves_the_operation_open(never: Pair) -> None:
    assert never.begin("web", Remove(device="dimm0")) is Ending.UNKNOWN
    assert never.outcomes()[-1][1] == Unanswered(asked="remove dimm0")
    told = story(never)
    assert (told.finished, str(told.operation.unanswered())) == (None, "remove dimm0")
    [device] = [d for d in never.look("web").devices if d.name == "dimm0"]
    assert (device.present, device.pending) == (True, True)


TOUCHING: dict[str, Request] = {
    "its block": Online(targets=(Blocks(blocks=(BlockId(33),)),)),
    "itself": Remove(device="dimm0"),
    "in its place": Replace(device="dimm0"),
}


@pytest.mark.parametrize("request_", TOUCHING.values(), ids=TOUCHING.keys())
def test_nobody_touches_it(never: Pair, request_: Request) -> None:
    never.begin("web", Remove(device="dimm0"))
    before = never.standing()
    told = "dimm0 of machine .* operation 1 has asked for 'remove dimm0' and got no answer yet"
    with pytest.raises(AnswerPending, match=told):
        never.begin("web", request_)
    assert never.standing() == before
    assert Journals(never.folder).names() == ["1"]


def test_everything_else_goes_on(never: Pair) -> None:
    never.begin("web", Remove(device="dimm0"))
    assert never.begin("web", Remove(device="dimm1")) is Ending.DONE
    assert never.begin("web", Resize(device="virtio-mem0", by_bytes=256 * MIB)) is Ending.DONE
    assert never.move(256 * MIB) is Ending.DONE
    assert story(never).finished is None


def test_resuming_before_the_answer_changes_nothing(never: Pair) -> None:
    never.begin("web", Remove(device="dimm0"))
    before = never.standing()
    assert never.conductor("web").resume("1") is Ending.UNKNOWN
    assert never.standing() == before
    assert story(never).finished is None


def test_undoing_before_the_answer_leaves_the_device_alone(never: Pair) -> None:
    never.begin("web", Remove(device="dimm0"))
    before = never.standing()
    assert never.conductor("web").undo("1") is Ending.UNKNOWN
    assert never.standing() == before


def test_a_late_yes_is_taken_by_whoever_comes_next(never: Pair) -> None:
    never.begin("web", Remove(device="dimm0"))
    never.change("web", answer)
    tick(never)
    assert story(never).finished is None
    assert never.begin("web", Remove(device="dimm1")) is Ending.DONE
    finished = story(never).finished
    assert finished is not None
    assert finished.ending is Ending.DONE
    assert "dimm0" not in never.sizes("web")


def test_resume_takes_the_answer_and_goes_on(never: Pair) -> None:
    """The answer comes while nobody looks: the first who does is resume."""
    never.begin("web", Remove(device="dimm0"))
    never.change("web", answer)
    tick(never)
    never.events.clear()
    assert never.conductor("web").resume("1") is Ending.DONE
    assert never.outcomes() == [("web: remove dimm0", Done(note="answered late"))]
    assert never.conductor("web").undo("1") is Ending.DONE
    assert never.sizes("web")["dimm0"] == 256


def test_a_late_no_puts_the_blocks_back(never: Pair) -> None:
    before = never.standing()
    never.begin("web", Remove(device="dimm0"))
    never.change("web", pin)
    # Online again, as a guest does whose eject fails; then it says no.
    never.change("web", answer)
    never.machine("web").write_file(  # type: ignore[attr-defined]
        "/sys/devices/system/memory/memory32/state", "online_movable"
    )
    ending = never.conductor("web").resume("1")
    outcome = next(out for _, out in never.outcomes() if isinstance(out, Refused))
    assert "failure to isolate range" in outcome.reason
    assert ending is Ending.PUT_BACK
    assert never.standing() == before


def test_an_undo_that_waited_goes_on_after_the_answer(tmp_path: Path) -> None:
    """A replacement: blocks of another device were touched too, and come back at once."""
    pair = pair_that_answers(tmp_path, "")
    before = pair.standing()
    assert pair.begin("web", Replace(device="dimm0", add_first=True)) is Ending.UNKNOWN
    assert pair.conductor("web").undo("1") is Ending.UNKNOWN
    assert "dimm2" not in pair.sizes("web")
    pair.change("web", answer)
    tick(pair)
    assert pair.conductor("web").resume("2") is Ending.DONE
    assert pair.standing() == before


def test_the_answer_comes_by_itself(tmp_path: Path) -> None:
    """After so many changes of the machine, as the description says."""
    pair = pair_that_answers(tmp_path, "changes = 3")
    pair.begin("web", Remove(device="dimm0"))
    assert something_else(pair) is Ending.DONE
    assert story(pair).finished is None
    assert something_else(pair) is Ending.DONE
    assert "dimm0" not in pair.sizes("web")
    assert pair.conductor("web").resume("1") is Ending.DONE


def test_a_boot_ends_the_waiting(never: Pair) -> None:
    """What was asked of a guest is forgotten when it boots, and nobody is kept up any more."""
    never.begin("web", Remove(device="dimm0"))
    with StateFile.open(never.file) as state:
        state.restart("web")
    with pytest.raises(JournalError, match="has been booted since"):
        never.conductor("web").resume("1")
    assert never.begin("web", Offline(targets=(Blocks(blocks=(BlockId(32),)),))) is Ending.DONE


def test_a_move_waits_for_its_answer_and_goes_on(tmp_path: Path) -> None:
    """The giver's DIMM is asked for, and nothing is given before the guest has let go of it."""
    text = SILENT.format(when="").replace('requested = "256M"', "")
    pair = Pair(tmp_path, text)
    pair.change("web", lambda kernel: setattr(kernel.slots["dimm1"], "answers_after", 0))
    assert pair.move(512 * MIB) is Ending.UNKNOWN
    assert pair.sizes("db") == {"virtio-mem0": 0}
    pair.change("web", answer)
    tick(pair)
    assert pair.conductor().resume("1") is Ending.DONE
    assert pair.sizes("db") == {"virtio-mem0": 512}
    assert pair.sizes("web") == {"virtio-mem0": 0}


def test_a_guest_that_is_deaf_to_another_size(tmp_path: Path) -> None:
    """A size can be asked for anew: nothing waits, and what was asked for is withdrawn."""
    text = SILENT.format(when="").replace('device = "dimm0"', 'device = "virtio-mem0"')
    pair = Pair(tmp_path, text)
    before = pair.standing()
    assert pair.begin("web", Resize(device="virtio-mem0", by_bytes=256 * MIB)) is Ending.REFUSED
    assert pair.outcomes()[0][1] == Partly(
        done_bytes=0, wanted_bytes=256 * MIB, reason="the guest does not answer"
    )
    assert pair.standing() == before
