"""A machine of a state file that is served: everybody else is told at once, and nobody waits."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from memhp.core.errors import MachineLocked, NoSuchObject, StateFileError
from memhp.core.words import ExitCode
from memhp.machines.open import open_machine
from memhp.model.persist import encode_kernel
from memhp.model.shipped import shipped_text
from memhp.model.store import StateFile
from memhp.model.store_log import deed_of
from memhp.model.tree.tree import Tree

RATIO = "/sys/module/memory_hotplug/parameters/auto_movable_ratio"
SERVER = """
import sys, time
from memhp.model.store import StateFile
state = StateFile.open(sys.argv[1])
state.serve(sys.argv[2], "/the/folder")
print("serves", flush=True)
sys.stdin.read()
state.close()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "h.machine"
    StateFile.create(made, shipped_text("host")).close()
    return made


def server(path: Path, part: str = "") -> "subprocess.Popen[str]":
    """Another process that serves the machine until it is told to end, or killed."""
    started = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(path), part],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert started.stdout is not None
    assert started.stdout.readline() == "serves\n"
    return started


def ended(started: "subprocess.Popen[str]") -> int:
    """Let it end, and wait for that."""
    started.communicate()
    return started.returncode


def test_others_are_told_by_whom_and_where_it_is_served(path: Path) -> None:
    with StateFile.open(path) as before:
        serves = server(path)
        told = f"machine '{path}' is served by process {serves.pid} at /the/folder: use "
        with StateFile.open(path) as state:
            for file in (before, state):
                with pytest.raises(MachineLocked) as locked:
                    file.load()
                assert str(locked.value).startswith(told)
                assert "'-M linux:/the/folder'" in str(locked.value)
                assert locked.value.exit_code is ExitCode.LOCKED
                with pytest.raises(MachineLocked), file.change("x"):
                    pytest.fail("nobody may begin")
                with pytest.raises(MachineLocked):
                    file.restart()
                with pytest.raises(MachineLocked):
                    file.serve("", "/other")
            assert [row.asked for row in state.log()][:1] == ["boot"]
        with pytest.raises(MachineLocked):
            open_machine(f"model:{path}").snapshot()
    assert ended(serves) == 0
    with StateFile.open(path) as state, state.change("x") as kernel:
        Tree(kernel).write(RATIO, "5")
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_each_guest_is_served_by_itself(path: Path) -> None:
    serves = server(path, "web")
    with StateFile.open(path) as state:
        with pytest.raises(MachineLocked, match=r"h\.machine/web' is served by"):
            state.load("web")
        state.load()
        with state.change("x") as kernel:
            Tree(kernel).write(RATIO, "5")
        with pytest.raises(NoSuchObject):
            state.serve("nobody", "/other")
    ended(serves)


def test_a_killed_server_holds_nothing(path: Path) -> None:
    serves = server(path)
    serves.send_signal(signal.SIGKILL)
    assert ended(serves) == -signal.SIGKILL
    with StateFile.open(path) as state:
        state.load()
        state.serve("", "/again")
        with StateFile.open(path) as other, pytest.raises(MachineLocked, match="at /again"):
            other.load()
        state.load()
    with StateFile.open(path) as state, state.change("x") as kernel:
        Tree(kernel).write(RATIO, "5")


def test_what_is_kept_is_there_for_the_next_with_its_row(path: Path) -> None:
    with StateFile.open(path) as state:
        state.serve("web", "/folder")
        kernel = state.load("web")
        Tree(kernel).write(RATIO, "7")
        state.keep(kernel, deed_of(kernel, part="web", asked="ratio", outcome="done"))
    with StateFile.open(path) as state:
        assert encode_kernel(state.load("web")) == encode_kernel(kernel)
        row = state.log()[-1]
    assert (row.part, row.asked, row.outcome) == ("web", "ratio", "done")


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"pid": "x"}', "\0" * 99])
def test_a_note_that_is_none_but_locked(path: Path, text: str) -> None:
    serves = server(path)
    path.with_name("h.machine-served").write_text(text)
    with StateFile.open(path) as state, pytest.raises(MachineLocked, match="by another process"):
        state.load()
    ended(serves)


def test_a_note_that_is_not_locked_means_nothing(path: Path) -> None:
    path.with_name("h.machine-served").write_text('{"pid": 1, "folder": "/x"}')
    with StateFile.open(path) as state:
        state.load()


def test_a_folder_in_which_no_note_can_be_made(path: Path) -> None:
    path.with_name("h.machine-served").mkdir()
    with (
        StateFile.open(path) as state,
        pytest.raises(StateFileError, match=r"cannot be made and locked \(Is a directory\)"),
    ):
        state.serve("", "/folder")
    assert path.with_name("h.machine-served").is_dir()
