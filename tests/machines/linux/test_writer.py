"""The process that makes a write: ended when it should be, and with its parent."""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from memhp.machines.linux import live_write
from memhp.machines.linux.live_write import HELD
from memhp.machines.linux.writer import Writer

FULL = b"." * 65536
"""What a pipe holds; the next write to it waits."""


@pytest.fixture
def full_pipe() -> Iterator[tuple[int, int]]:
    receive, send = os.pipe()
    os.write(send, FULL)
    yield receive, send
    os.close(receive)
    os.close(send)


def test_what_was_written_is_told(tmp_path: Path) -> None:
    handle = os.open(tmp_path / "state", os.O_CREAT | os.O_WRONLY)
    writer = Writer(handle, "offline")
    os.close(handle)
    assert writer.answer(None) == ""
    assert writer.end(10)
    assert (tmp_path / "state").read_text() == "offline"


def test_an_errno_is_told_by_its_name() -> None:
    handle = os.open("/dev/full", os.O_WRONLY)
    writer = Writer(handle, "offline")
    os.close(handle)
    assert (writer.answer(None), writer.end(10)) == ("ENOSPC", True)


def test_what_blocks_has_no_answer_until_it_is_killed(full_pipe: tuple[int, int]) -> None:
    writer = Writer(full_pipe[1], "offline")
    assert writer.answer(0) is None
    writer.kill()
    assert (writer.answer(None), writer.end(10)) == ("EINTR", True)


def test_signals_for_the_whole_group_do_not_reach_it(full_pipe: tuple[int, int]) -> None:
    """Only its parent decides, and the kernel where that has ended."""
    writer = Writer(full_pipe[1], "offline")
    assert writer._pid is not None
    blocked = _mask(writer._pid)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        assert blocked >> (number - 1) & 1
    assert not blocked >> (signal.SIGTSTP - 1) & 1
    assert writer.end(10)


def _mask(pid: int) -> int:
    """The blocked signals of a process, once it has blocked any."""
    while True:
        status = Path(f"/proc/{pid}/status").read_text()
        mask = next(int(line.split()[1], 16) for line in status.splitlines() if "SigBlk" in line)
        if mask:
            return mask


PARENT = """
import os, sys
from memhp.machines.linux.writer import Writer
receive, send = os.pipe()
os.write(send, b"." * 65536)
Writer(send, "offline")
print("begun", flush=True)
sys.stdin.read()
"""


def test_it_ends_with_a_parent_that_is_killed() -> None:
    """The end of the output comes when nobody has it open any more: parent and child are gone."""
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert parent.stdout is not None
    assert parent.stdin is not None
    assert parent.stdout.readline() == b"begun\n"
    parent.kill()
    parent.wait()
    ready, _, _ = select.select([parent.stdout], [], [], 30)
    assert ready, "the child lives on"
    assert parent.stdout.read() == b""
    parent.stdout.close()
    parent.stdin.close()


class Unmoved:
    """A writer that nothing ends, as one that waits in the kernel."""

    def __init__(self) -> None:
        self.killed = 0

    def answer(self, _seconds: float | None) -> str | None:
        return None

    def kill(self) -> None:
        self.killed += 1

    def end(self, _seconds: float) -> bool:
        return False


def test_what_the_kernel_does_not_let_go_is_held() -> None:
    writer = Unmoved()
    assert live_write._supervise(writer, None, lambda: False) == HELD  # type: ignore[arg-type]
    assert writer.killed


class Late(Unmoved):
    """A writer whose answer comes while it is given up."""

    def answer(self, _seconds: float | None) -> str | None:
        return "EBUSY" if self.killed else None

    def end(self, _seconds: float) -> bool:
        return True


def test_an_answer_that_comes_while_it_is_given_up_counts() -> None:
    assert live_write._supervise(Late(), None, lambda: False) == "EBUSY"  # type: ignore[arg-type]
