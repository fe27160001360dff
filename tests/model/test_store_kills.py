"""A process killed anywhere: at a statement, inside one, or at a file that it makes or removes."""

import os
import signal
import sqlite3
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from booted import MEMORY
from memhp.core.errors import NoSuchMachine
from memhp.model import store, store_database
from memhp.model.description import parse_description, start
from memhp.model.kernel import Kernel
from memhp.model.persist import encode_kernel
from memhp.model.store import StateFile
from memhp.model.tree.tree import Tree

TEXT = '[[node]]\nmemory = "1G"\n[guests.web]\n[[guests.web.node]]\nmemory = "1G"\n'
STATE = f"{MEMORY}/memory4/state"
FILE_EVENTS = {"open", "os.link", "os.remove", "os.rename"}
_OPCODES = 40
"""How many instructions of SQLite's machine lie between two moments inside a statement."""


def kill_at(moment: int) -> None:
    """Let this process be killed when it comes to the Nth of the moments that are counted."""
    counted = count()

    def pass_one(*_: object) -> None:
        if next(counted) == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    def connect(
        path: Path, mode: str, wait_seconds: float, *, one_thread: bool = True
    ) -> sqlite3.Connection:
        connection = plainly(path, mode, wait_seconds, one_thread=one_thread)
        connection.set_trace_callback(pass_one)
        connection.set_progress_handler(pass_one, _OPCODES)
        return connection

    plainly = store_database._connect
    store_database._connect = connect
    sys.addaudithook(lambda event, _: pass_one() if event in FILE_EVENTS else None)


def killed(do: Callable[[], object], moment: int) -> bool:
    """Do something in a process that is killed at a moment; false where it came to its end."""
    pid = os.fork()
    if pid == 0:
        try:
            kill_at(moment)
            do()
            os._exit(0)
        finally:
            os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code in {0, -signal.SIGKILL}
    return code != 0


def as_text(kernel: Kernel) -> str:
    return str(encode_kernel(kernel))


def whole(path: Path) -> tuple[str, int]:
    """How the machine stands, and how many rows its log has."""
    with StateFile.open(path) as state:
        return as_text(state.load()), len(state.log())


def others(path: Path) -> list[str]:
    return [each.name for each in path.parent.iterdir() if each != path]


def change(path: Path, word: str) -> None:
    with StateFile.open(path) as state, state.change(word) as kernel:
        Tree(kernel).write(STATE, word)


def test_a_kill_while_a_machine_is_made(tmp_path: Path) -> None:
    path = tmp_path / "m"
    booted = as_text(start(parse_description(TEXT, "m")))
    seen = set()
    for moment in count():
        if not killed(lambda: StateFile.create(path, TEXT).close(), moment):
            break
        try:
            now = whole(path)
        except NoSuchMachine:
            seen.add("nothing")
            StateFile.create(path, TEXT).close()
            now = whole(path)
        else:
            seen.add("all")
        assert now == (booted, 2)
        path.unlink()
        StateFile.create(path, TEXT).close()
        assert others(path) == [], moment
        path.unlink()
    assert moment > 30
    assert seen == {"nothing", "all"}


def test_a_kill_in_a_change(tmp_path: Path) -> None:
    path = tmp_path / "m"
    StateFile.create(path, TEXT).close()
    before, unchanged = whole(path), path.read_bytes()
    change(path, "offline")
    after = whole(path)
    for moment in count():
        path.write_bytes(unchanged)
        if not killed(lambda: change(path, "offline"), moment):
            break
        now = whole(path)
        assert now in {before, after}
        change(path, "online" if now == after else "offline")
        assert others(path) == [], moment
    assert moment > 10
    assert whole(path) == after


def test_a_kill_in_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "m"
    StateFile.create(path, TEXT).close()
    booted = whole(path)[0]
    change(path, "offline")
    before, unchanged = whole(path), path.read_bytes()
    for moment in count():
        path.write_bytes(unchanged)
        if not killed(lambda: restart(path), moment):
            break
        with StateFile.open(path) as state:
            boots = int(state.identity.rpartition(":")[2])
        assert (whole(path), boots) in {(before, 1), ((booted, before[1] + 1), 2)}
        restart(path)
        assert (whole(path)[0], others(path)) == (booted, [])
    assert moment > 10


def restart(path: Path) -> None:
    with StateFile.open(path) as state:
        state.restart()


@pytest.mark.parametrize("place", ["note_holder", "_save_state", "write_row", "drop_holder"])
def test_an_interrupt_in_a_change_rolls_back(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m"
    StateFile.create(path, TEXT).close()
    unchanged = path.read_bytes()

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(store, place, interrupted)
        with pytest.raises(KeyboardInterrupt):
            change(path, "offline")
    assert path.read_bytes() == unchanged
    change(path, "offline")
    assert others(path) == []
