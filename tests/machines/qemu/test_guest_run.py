"""The program that takes blocks in turn in the guest, run by every shell there is here."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from memhp.core.geometry import BlockId
from memhp.core.outcome import Done, Refused
from memhp.core.plan import ExpectBlock, OfflineBlock, OnlineBlock, Step
from memhp.core.words import BlockState, OnlineType, ZoneType
from memhp.machines.linux.root import MEMORY
from memhp.machines.qemu.guest_run import (
    BlockLine,
    end_arguments,
    interrupted,
    lines_of,
    look_arguments,
    outcome_of,
    run_arguments,
)

SHELLS = {"busybox": ["busybox", "sh"], "dash": ["dash"], "bash": ["bash", "--posix"]}
TAG = "memhp-run-0123456789ab"
EXPECTED = ExpectBlock(block=BlockId(1), state=BlockState.ONLINE, zone=ZoneType.MOVABLE)


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> list[str]:
    words = SHELLS[request.param]
    if shutil.which(words[0]) is None:
        pytest.skip(f"there is no {words[0]} here")
    return words


@pytest.fixture
def blocks(tmp_path: Path) -> Path:
    """Blocks that take whatever is written, as plain files do."""
    for number, state in ((1, "online"), (2, "online"), (3, "offline"), (4, "online")):
        folder = tmp_path / f"memory{number}"
        folder.mkdir()
        (folder / "state").write_text(f"{state}\n")
        (folder / "valid_zones").write_text(
            "Movable\n" if state == "online" else "Normal Movable\n"
        )
    return tmp_path


def offline(number: int, *, expected: bool = True) -> Step:
    block = BlockId(number)
    expect = ExpectBlock(block=block, state=BlockState.ONLINE, zone=ZoneType.MOVABLE)
    return Step(machine="g", action=OfflineBlock(block=block), expect=expect if expected else None)


def run(
    shell: Sequence[str], arguments: Sequence[str], blocks: Path, *, fails: bool = False
) -> str:
    """What it says; ``fails`` makes every write to a file fail, with EFBIG."""
    words = [word.replace(f"/{MEMORY}", str(blocks)) for word in arguments]
    done = subprocess.run(
        [*(("prlimit", "--fsize=0") if fails else ()), *shell, *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
        # Python ignores SIGXFSZ, and so do its children then.
        restore_signals=not fails,
    )
    return done.stdout + done.stderr


def told(
    shell: Sequence[str], steps: Sequence[Step], blocks: Path, shift: int = 10
) -> list[object]:
    arguments = run_arguments(steps, TAG, watch_seconds=30, shift_seconds=shift)
    return [
        (line.block, line.before, line.after, line.code)
        for line in lines_of(run(shell, arguments, blocks))
    ]


def test_blocks_go_in_turn(shell: list[str], blocks: Path) -> None:
    assert told(shell, [offline(4), offline(2), offline(1)], blocks) == [
        (n, ("online", "Movable"), ("offline", "Movable"), 0) for n in (4, 2, 1)
    ]
    assert not Path("/tmp", TAG).exists()


def test_it_stops_at_a_block_that_is_otherwise(shell: list[str], blocks: Path) -> None:
    assert told(shell, [offline(1), offline(3), offline(2)], blocks) == [
        (1, ("online", "Movable"), ("offline", "Movable"), 0),
        (3, ("offline", "Normal Movable"), None, 0),
    ]
    assert (blocks / "memory2/state").read_text() == "online\n"


def test_it_stops_at_a_block_that_is_gone(shell: list[str], blocks: Path) -> None:
    for expected in (True, False):
        assert told(shell, [offline(9, expected=expected), offline(2)], blocks) == [
            (9, None, None, 0)
        ]


def test_whatever_the_shell_it_is_known_why_a_write_failed(shell: list[str], blocks: Path) -> None:
    steps = [offline(1), offline(2)]
    arguments = run_arguments(steps, TAG, watch_seconds=30, shift_seconds=10)
    said = run(shell, arguments, blocks, fails=True)
    [line] = lines_of(said)
    outcome = outcome_of(steps[0], line, said)
    assert isinstance(outcome, Refused)
    assert outcome.errno_name == "EFBIG"


def test_a_shift_ends_behind_its_block(shell: list[str], blocks: Path) -> None:
    assert [line[0] for line in told(shell, [offline(1), offline(2)], blocks, 0)] == [1]  # type: ignore[index]


def test_whatever_the_zone_an_offline_block_is_as_expected(shell: list[str], blocks: Path) -> None:
    step = Step(
        machine="g",
        action=OnlineBlock(block=BlockId(3), online_type=OnlineType.ONLINE_MOVABLE),
        expect=ExpectBlock(block=BlockId(3), state=BlockState.OFFLINE, zone=None),
    )
    [line] = told(shell, [step], blocks)
    assert line == (3, ("offline", "Normal Movable"), ("online_movable", "Normal Movable"), 0)


def test_one_look(shell: list[str], blocks: Path) -> None:
    assert run(shell, look_arguments(3), blocks) == "offline|Normal Movable\n"
    assert run(shell, look_arguments(9), blocks).count("|") == 0


def test_what_is_left_of_a_run_is_ended_and_nothing_else(shell: list[str]) -> None:
    """A run of this tag, another of another tag, and the ending itself, which names the tag."""
    sleeping = "trap '' TERM; while :; do sleep 0.1; done"
    with (
        subprocess.Popen([*shell, "-c", sleeping, TAG]) as mine,
        subprocess.Popen(["sleep", "60"], env={"MEMHP_RUN": TAG}) as child,
        subprocess.Popen([*shell, "-c", sleeping, TAG[:-1] + "c"]) as other,
    ):
        try:
            # The zombie of one that was killed is no process any more.
            run(shell, end_arguments(TAG), Path("/"))
            assert (mine.wait(10), child.wait(10)) == (-9, -9)
            assert other.poll() is None
        finally:
            for left in (mine, child, other):
                left.kill()


LINE = BlockLine(
    block=1, before=("online", "Movable"), after=("offline", "x"), code=0, uptime_seconds=1.5
)


def test_lines_are_read_with_care() -> None:
    good = "1|online|Movable|offline|x|0|1.5\n"
    for odd in ("", "1|2\n", "x|a|b|c|d|0|1.5\n", "1|a|b|c|d|z|1.5\n", "1|a|b|c|d|0|z\n"):
        assert list(lines_of(odd + good)) == [LINE]
    assert list(lines_of(good.removesuffix("\n"))) == []


def test_outcomes() -> None:
    step = offline(1)
    assert outcome_of(step, LINE, "") == Done()
    busy = BlockLine(
        block=1,
        before=("online", "Movable"),
        after=("online", "Movable"),
        code=1,
        uptime_seconds=1.0,
    )
    assert outcome_of(step, busy, "sh: write error: Device or resource busy") == Refused(
        reason="pages in it cannot be moved, or are held", errno_name="EBUSY"
    )
    assert interrupted(step, "online|Movable\n") == Refused(
        reason="signal backoff", errno_name="EINTR"
    )
    assert interrupted(step, "offline|Normal Movable\n") == Done()
    gone = interrupted(step, "")
    assert isinstance(gone, Refused)
    assert "it is gone" in gone.reason
