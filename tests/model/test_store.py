"""The state file: it lasts, is whole after any kill, and two writers do not disturb each other."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from booted import MEMORY
from memhp.core.errors import (
    MachineError,
    MachineLocked,
    NoSuchMachine,
    NoSuchObject,
    StateFileError,
)
from memhp.model.steps import KernelRefusal
from memhp.model.store import StateFile
from memhp.model.tree.tree import Tree

TEXT = """
command_line = "memhp_default_state=offline"
[[node]]
memory = "2G"
[[dimm]]
size = "4G"
[guests.web]
[[guests.web.node]]
memory = "1G"
"""
RATIO = "/sys/module/memory_hotplug/parameters/auto_movable_ratio"
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with StateFile.create(tmp_path / "m.machine", TEXT, clock=lambda: NOW):
        return tmp_path / "m.machine"


def ratio(path: Path, part: str = "") -> int:
    with StateFile.open(path) as state:
        return int(Tree(state.load(part)).read(RATIO))


def set_ratio(state: StateFile, value: int, part: str = "") -> None:
    with state.change(f"ratio {value}", part) as kernel:
        Tree(kernel).write(RATIO, str(value))


def set_many_ratios(state: StateFile) -> None:
    for number in range(500):
        set_ratio(state, 1000 + number)


def left_behind(path: Path) -> list[str]:
    """Files beside the machine that a command has left there."""
    return sorted(each.name for each in path.parent.iterdir() if each != path)


def test_a_change_is_there_for_the_next(path: Path) -> None:
    with StateFile.open(path) as state:
        set_ratio(state, 7)
    assert (ratio(path), ratio(path, "web"), left_behind(path)) == (7, 301, [])


def test_a_guest_is_a_machine_of_its_own(path: Path) -> None:
    with StateFile.open(path) as state:
        assert state.parts() == ("web",)
        set_ratio(state, 9, "web")
        assert state.identity_of("web") != state.identity
        with pytest.raises(NoSuchObject, match="its guests are web"):
            state.load("mail")
    assert (ratio(path), ratio(path, "web")) == (301, 9)


def test_what_a_refusal_changed_is_kept(path: Path) -> None:
    """A refused write leaves an online type armed, and the file remembers it."""
    with StateFile.open(path) as state:
        with state.change("online") as kernel:
            Tree(kernel).write(f"{MEMORY}/memory32/state", "online_kernel")
        with pytest.raises(KernelRefusal), state.change("arm") as kernel:
            Tree(kernel).write(f"{MEMORY}/memory32/state", "online_movable")
        with state.change("offline") as kernel:
            Tree(kernel).write(f"{MEMORY}/memory32/state", "offline")
        with state.change("online again") as kernel:
            Tree(kernel).write(f"{MEMORY}/memory32/online", "1")
        assert Tree(state.load()).read(f"{MEMORY}/memory32/valid_zones") == "Movable\n"
        outcomes = [row.outcome.partition(":")[0] for row in state.log()]
    assert outcomes == ["done", "done", "done", "refused", "done", "done"]


def test_any_other_exception_leaves_everything_as_it_was(path: Path) -> None:
    before = path.read_bytes()

    def fails(state: StateFile) -> None:
        with state.change("x") as kernel:
            Tree(kernel).write(RATIO, "5")
            raise LookupError

    with StateFile.open(path) as state, pytest.raises(LookupError):
        fails(state)
    assert (ratio(path), path.read_bytes() == before, left_behind(path)) == (301, True, [])


def test_the_log_says_what_when_and_what_came_of_it(path: Path) -> None:
    with StateFile.open(path, clock=lambda: NOW) as state:
        with state.change("online memory32") as kernel:
            Tree(kernel).write(f"{MEMORY}/memory32/state", "online")
        row = state.log()[-1]
    assert (row.time, row.part, row.asked, row.outcome) == (NOW, "", "online memory32", "done")
    assert [(u.action, u.devpath) for u in row.uevents] == [
        ("online", "/devices/system/memory/memory32")
    ]


def test_a_restart_is_another_boot(path: Path) -> None:
    with StateFile.open(path) as state:
        before = state.identity
        set_ratio(state, 5)
        state.restart()
        assert state.identity != before
        assert state.identity.partition(":")[0] == before.partition(":")[0]
    assert ratio(path) == 301


def test_a_change_writes_only_the_parts_that_it_touched(path: Path) -> None:
    statements: list[str] = []
    with StateFile.open(path) as state:
        state._connection.set_trace_callback(statements.append)
        set_ratio(state, 5)
    written = [s for s in statements if s.startswith("INSERT OR REPLACE INTO state")]
    assert len(written) == 1
    assert "settings" in written[0]


def test_reading_goes_on_while_another_changes(path: Path) -> None:
    with StateFile.open(path) as writer, writer.change("long") as kernel:
        Tree(kernel).write(RATIO, "5")
        assert ratio(path) == 301
    assert ratio(path) == 5


def test_who_holds_it_is_told(path: Path) -> None:
    with (
        StateFile.open(path) as first,
        first.change("evacuate node1"),
        StateFile.open(path, wait_seconds=0) as second,
        pytest.raises(MachineLocked) as caught,
    ):
        set_ratio(second, 1)
    sentence = str(caught.value)
    assert f"process {os.getpid()}" in sentence
    assert "to evacuate node1" in sentence
    assert (caught.value.exit_code, left_behind(path)) == (5, [])


def test_a_stale_note_is_not_believed(path: Path) -> None:
    note = path.with_name(f"{path.name}-holder")
    note.write_text('{"pid": 1, "started": "0", "asked": "rule", "since": "then"}')
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    with StateFile.open(path, wait_seconds=0) as state, pytest.raises(MachineLocked) as caught:
        set_ratio(state, 1)
    blocker.close()
    assert "being changed by another process" in str(caught.value)


COUNT_UP = f"""
import sys
from memhp.model.store import StateFile
from memhp.model.tree.tree import Tree
for _ in range(int(sys.argv[2])):
    with StateFile.open(sys.argv[1], wait_seconds=60) as state, state.change("count") as kernel:
        now = int(Tree(kernel).read("{RATIO}"))
        Tree(kernel).write("{RATIO}", str(now + 1))
"""


def test_four_processes_lose_nothing(path: Path) -> None:
    command = [sys.executable, "-c", COUNT_UP, str(path), "25"]
    children = [subprocess.Popen(command) for _ in range(4)]
    assert [child.wait() for child in children] == [0] * 4
    assert ratio(path) == 301 + 100
    with StateFile.open(path) as state:
        assert len(state.log()) == 2 + 100
    assert left_behind(path) == []


KILLED_AT = f"""
import os, signal, sqlite3, sys
from memhp.model import store_database
from memhp.model.store import StateFile
from memhp.model.tree.tree import Tree
left = int(sys.argv[3])
def count(_statement):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
plain = store_database._connect
def connect(*arguments, **more):
    connection = plain(*arguments, **more)
    connection.set_trace_callback(count)
    return connection
store_database._connect = connect
if sys.argv[2] == "create":
    StateFile.create(sys.argv[1], sys.argv[4])
else:
    with StateFile.open(sys.argv[1]) as state, state.change("x") as kernel:
        Tree(kernel).write("{RATIO}", "5")
        Tree(kernel).write("{MEMORY}/memory32/state", "online_movable")
"""


def killed_at(path: Path, what: str, statement: int) -> bool:
    """Let a process kill itself at its Nth statement; false where it came to its end."""
    command = [sys.executable, "-c", KILLED_AT, str(path), what, str(statement), TEXT]
    return subprocess.run(command).returncode == -signal.SIGKILL


def test_a_kill_at_any_statement_of_a_change(path: Path) -> None:
    whole = path.read_bytes()
    seen = set()
    for statement in range(40):
        path.write_bytes(whole)
        killed = killed_at(path, "change", statement)
        with StateFile.open(path) as state:
            tree = Tree(state.load())
            seen.add((tree.read(RATIO).strip(), tree.read(f"{MEMORY}/memory32/state").strip()))
            set_ratio(state, 42)
        assert ratio(path) == 42
        assert left_behind(path) == []
        if not killed:
            break
    else:
        pytest.fail("the change never came to its end")
    assert seen == {("301", "offline"), ("5", "online")}


def test_a_kill_at_any_statement_of_making_one(tmp_path: Path) -> None:
    path = tmp_path / "new.machine"
    for statement in range(0, 60, 3):
        path.unlink(missing_ok=True)
        killed = killed_at(path, "create", statement)
        if killed:
            with pytest.raises(NoSuchMachine):
                StateFile.open(path)
            StateFile.create(path, TEXT).close()
        assert ratio(path) == 301
        if not killed:
            return
    pytest.fail("making the machine never came to its end")


def damaged(path: Path) -> Iterator[tuple[str, bytes]]:
    whole = path.read_bytes()
    yield "empty", b""
    yield "text", b"[[node]]\n" * 50
    for size in (1, 100, 4096, len(whole) // 2, len(whole) - 4096):
        yield f"cut at {size}", whole[:size]
    chance = random.Random(2)
    for round_number in range(40):
        data = bytearray(whole)
        for _ in range(chance.choice([1, 8, 200])):
            data[chance.randrange(len(data))] = chance.randrange(256)
        yield f"flipped {round_number}", bytes(data)


def test_a_damaged_file_is_one_sentence_or_the_machine(path: Path) -> None:
    whole = ratio(path)
    for name, data in list(damaged(path)):
        path.write_bytes(data)
        sentence = used(path)
        assert sentence is None or "\n" not in sentence, name
        if sentence is None:
            assert ratio(path) in {whole, 42}, name


def used(path: Path) -> str | None:
    """Use a file in every way; returns what is said where that does not work."""
    try:
        with StateFile.open(path) as state:
            state.load()
            state.load("web")
            state.log()
            set_ratio(state, 42)
    except MachineError as error:
        return str(error)
    return None


def test_files_that_are_none(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    other = tmp_path / "other.sqlite"
    connection = sqlite3.connect(other)
    connection.execute("CREATE TABLE t (x)")
    connection.close()
    for wrong, told in ((folder, "is a directory"), (other, "is no state file")):
        with pytest.raises(StateFileError, match=told):
            StateFile.open(wrong)
    with pytest.raises(NoSuchMachine, match="memhp model new"):
        StateFile.open(tmp_path / "nothing")


def test_a_newer_version_is_left_alone(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version=99")
    connection.close()
    with pytest.raises(StateFileError, match="is a state file of version 99"):
        StateFile.open(path)


def test_a_full_disk_leaves_the_machine_as_it_was(path: Path) -> None:
    with StateFile.open(path) as state:
        [pages] = state._connection.execute("PRAGMA page_count").fetchone()
        state._connection.execute(f"PRAGMA max_page_count={pages}")
        with pytest.raises(StateFileError, match="the disk is full"):
            set_many_ratios(state)
        last = int(Tree(state.load()).read(RATIO))
    assert ratio(path) == last


@pytest.mark.parametrize("name", ["a b", "100%", "what?", "#1", "ä", "x'y", "-M"])
def test_odd_names(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    StateFile.create(path, TEXT).close()
    with StateFile.open(path) as state:
        set_ratio(state, 3)
    assert ratio(path) == 3
    assert left_behind(path) == []


def test_nothing_is_made_over_another_file(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(StateFileError, match="exists already"):
        StateFile.create(path, TEXT)
    assert path.read_bytes() == before
    with pytest.raises(StateFileError, match="cannot be made"):
        StateFile.create(path.parent / "no" / "folder", TEXT)
    assert left_behind(path) == []
