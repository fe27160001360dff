"""The logical phase by files: what is written, what is read back, and what an errno means."""

import pytest

from memhp.core.errors import NotSupported
from memhp.core.geometry import BlockId
from memhp.core.outcome import Done, Outcome, Refused, Unanswered
from memhp.core.plan import (
    Action,
    ExpectBlock,
    OfflineBlock,
    OnlineBlock,
    RemoveDevice,
    Step,
)
from memhp.core.words import BlockState, OnlineType, ZoneType
from memhp.machines.linux.apply import apply_logical
from memhp.machines.linux.live_write import HELD

FOLDER = "sys/devices/system/memory/memory5"
OFFLINE = OfflineBlock(block=BlockId(5))
ONLINE = OnlineBlock(block=BlockId(5), online_type=OnlineType.ONLINE_MOVABLE)


class Files:
    """The files of a block, and what the kernel answers to a write."""

    def __init__(self, state: str, zones: str, errno_name: str | None = None) -> None:
        self.files = {f"{FOLDER}/state": state, f"{FOLDER}/valid_zones": zones}
        self._errno_name = errno_name
        self.written: list[tuple[str, str]] = []

    def write(self, path: str, word: str) -> str | None:
        self.written.append((path, word))
        if self._errno_name is None:
            state = "offline" if word == "offline" else "online"
            self.files[path] = state
            self.files[f"{FOLDER}/valid_zones"] = (
                "Movable" if state == "online" else "Normal Movable"
            )
        return self._errno_name

    def apply(self, action: Action, expect: ExpectBlock | None = None) -> Outcome:
        step = Step(machine="linux:", action=action, expect=expect)
        return apply_logical(step, machine="linux:", read=self.files.get, write=self.write)


def test_the_word_goes_into_state_and_never_into_online() -> None:
    files = Files("offline", "Normal Movable")
    assert files.apply(ONLINE) == Done(note="in Movable")
    assert files.apply(OFFLINE) == Done()
    assert files.written == [(f"{FOLDER}/state", "online_movable"), (f"{FOLDER}/state", "offline")]


@pytest.mark.parametrize(
    ("zones", "errno_name", "reason"),
    [
        ("none", "EINVAL", "multizone range"),
        ("DMA32", "EINVAL", "memory holes"),
        ("Movable", "EBUSY", "pages in it cannot be moved, or are held"),
        ("Movable", "EINTR", "signal backoff"),
        ("Movable", "EPERM", "only root may do that"),
        ("Movable", "EACCES", "only root may do that"),
        ("Movable", "ENOMEM", "the kernel refused it"),
    ],
)
def test_what_an_errno_means(zones: str, errno_name: str, reason: str) -> None:
    files = Files("online", zones, errno_name)
    assert files.apply(OFFLINE) == Refused(reason=reason, errno_name=errno_name)


def test_an_errno_that_came_too_late_is_no_refusal() -> None:
    """The state is read back, never assumed: what is so is done."""
    files = Files("offline", "Normal Movable", "EINTR")
    assert files.apply(OFFLINE) == Done()


class Deaf(Files):
    """Takes every word and does nothing."""

    def write(self, path: str, word: str) -> str | None:
        self.written.append((path, word))
        return None


def test_a_write_that_changed_nothing_is_no_success() -> None:
    outcome = Deaf("online", "Movable").apply(OFFLINE)
    assert isinstance(outcome, Refused)
    assert "memory5 is online" in outcome.reason


@pytest.mark.parametrize(
    ("state", "zone"),
    [
        (BlockState.OFFLINE, None),
        (BlockState.ONLINE, ZoneType.NORMAL),
    ],
)
def test_what_is_not_as_expected_is_not_written(state: BlockState, zone: ZoneType | None) -> None:
    files = Files("online", "Movable")
    expect = ExpectBlock(block=BlockId(5), state=state, zone=zone)
    outcome = files.apply(OFFLINE, expect)
    assert isinstance(outcome, Refused)
    assert outcome.errno_name is None
    assert files.written == []


def test_the_physical_phase_is_not_done_here() -> None:
    with pytest.raises(NotSupported):
        Files("online", "Movable").apply(RemoveDevice(device="PNP0C80:00"))


def test_a_block_that_the_kernel_does_not_let_go_is_unanswered() -> None:
    outcome = Files("going-offline", "Movable", HELD).apply(OFFLINE)
    assert outcome == Unanswered(
        asked="offline memory5",
        why="still held by the kernel: told to let go of memory5, it has not",
    )


def test_a_block_that_was_held_and_is_gone_by_now_is_done() -> None:
    assert Files("offline", "Normal Movable", HELD).apply(OFFLINE) == Done()


def test_a_block_that_somebody_else_put_elsewhere_is_not_done() -> None:
    outcome = Files("online", "Normal", "EINVAL").apply(ONLINE)
    assert outcome == Refused(
        reason="it is online in Normal by now, and 'online_movable' was asked for: another "
        "program onlines memory here"
    )


def test_a_kernel_without_hot_remove_says_so() -> None:
    files = Files("online", "Movable", "EINVAL")
    files.files[f"{FOLDER}/removable"] = "0"
    assert files.apply(OFFLINE) == Refused(
        reason="this kernel was built without hot remove (CONFIG_MEMORY_HOTREMOVE)",
        errno_name="EINVAL",
    )
