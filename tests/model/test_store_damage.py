"""Damage, rights and locks: one sentence, or the very machine that was written."""

import json
import os
import random
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from booted import MEMORY
from memhp.core.errors import MachineError, MachineLocked, MemhpError, StateFileError
from memhp.interfaces.cli.main import main
from memhp.model.description import Description
from memhp.model.persist import encode_kernel
from memhp.model.steps import KernelRefusal
from memhp.model.store import StateFile
from memhp.model.store_holder import note_holder, tell_holder
from memhp.model.tree.tree import Tree

TEXT = '[[node]]\nmemory = "1G"\n[guests.web]\n[[guests.web.node]]\nmemory = "1G"\n'
STATE = f"{MEMORY}/memory4/state"
NOBODY = 65534


@pytest.fixture
def path(tmp_path: Path) -> Path:
    StateFile.create(tmp_path / "m", TEXT).close()
    return tmp_path / "m"


def write(path: Path, text: str, wait_seconds: float = 0) -> None:
    with StateFile.open(path, wait_seconds=wait_seconds) as state, state.change("write") as kernel:
        Tree(kernel).write(STATE, text)


Looked = tuple[Description, dict[str, str], dict[str, str]]


def looked(path: Path) -> Looked:
    """All that counts in a file: what the machines were made from, and how they stand."""
    with StateFile.open(path) as state:
        parts = encode_kernel(state.load()), encode_kernel(state.load("web"))
        return state.description, *parts


def test_no_flipped_bit_makes_another_machine(path: Path) -> None:
    write(path, "offline")
    before = looked(path)
    whole = path.read_bytes()
    chance = random.Random(3)
    refused = 0
    for place in range(0, len(whole), 61):
        data = bytearray(whole)
        data[place] ^= 1 << chance.randrange(8)
        path.write_bytes(data)
        try:
            assert looked(path) == before, place
            with StateFile.open(path) as state:
                state.log()
                state.parts()
        except StateFileError:
            refused += 1
    assert refused > 50


@pytest.mark.parametrize("size", [0, 1, 15, 16, 99, 100, 1000, 4095, 4096, 4097, 8192, 12288])
def test_a_cut_file_is_one_sentence(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(StateFileError, match=r"is no state file|is damaged"):
        looked(path)


WRONG_ROWS = {
    "no description": "DELETE FROM description",
    "another description": "UPDATE description SET text = text || ' '",
    "a description of bytes": "UPDATE description SET text = x'ff'",
    "no state": "DELETE FROM state WHERE part = ''",
    "a part of the state": "DELETE FROM state WHERE part = '' AND name = 'zones'",
    "another state": "UPDATE state SET value = replace(value, '1', '2')",
    "a state of bytes": "UPDATE state SET value = x'ff00'",
    "text that is none": "UPDATE state SET value = CAST(x'ff00' AS TEXT)",
    "a checksum that is none": "UPDATE state SET crc = 'x'",
    "no table": "DROP TABLE state",
    "a guest of bytes": "UPDATE machine SET part = x'ff' WHERE part = 'web'",
}


@pytest.mark.parametrize("statement", WRONG_ROWS.values(), ids=WRONG_ROWS.keys())
def test_wrong_rows_are_one_sentence(path: Path, statement: str) -> None:
    spoil(path, statement)

    def use() -> None:
        with StateFile.open(path) as state:
            state.load()
            state.parts()
            state.restart()

    with pytest.raises(StateFileError, match="is damaged"):
        use()


WRONG_LOGS = {
    "no time": "UPDATE log SET time = 'yesterday'",
    "time as a number": "UPDATE log SET time = 7.5",
    "bytes": "UPDATE log SET asked = x'ff'",
    "text that is none": "UPDATE log SET outcome = CAST(x'ff' AS TEXT)",
    "bytes as messages": "UPDATE log SET messages = x'00'",
    "no uevents": "UPDATE log SET uevents = '[[1]]'",
    "uevents of another form": "UPDATE log SET uevents = '{}x'",
    "no table": "DROP TABLE log",
}


@pytest.mark.parametrize("statement", WRONG_LOGS.values(), ids=WRONG_LOGS.keys())
def test_a_wrong_log_is_one_sentence_and_spoils_no_machine(path: Path, statement: str) -> None:
    before = looked(path)
    spoil(path, statement)
    with StateFile.open(path) as state, pytest.raises(StateFileError, match="is damaged"):
        state.log()
    assert looked(path) == before


def spoil(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(statement)
    connection.close()


def test_what_is_logged_is_one_line_of_text_whatever_was_asked(path: Path) -> None:
    def ask(state: StateFile) -> None:
        with state.change("a\n\x1b[2J\udcff\u2028") as kernel:
            kernel.printk("one\ntwo")
            kernel.printk("three")
            Tree(kernel).write(STATE, "\udcff\n")

    with StateFile.open(path) as state:
        with pytest.raises(KernelRefusal):
            ask(state)
        row = state.log()[-1]
    assert row.asked == r"a\n\x1b[2J\udcff\u2028"
    assert row.outcome.startswith("refused: ")
    assert (row.outcome.isprintable(), row.messages) == (True, (r"one\ntwo", "three"))


def test_uevents_of_a_long_run_are_folded(path: Path) -> None:
    with StateFile.open(path) as state:
        with state.change("all") as kernel:
            for number in range(2, 6):
                Tree(kernel).write(f"{MEMORY}/memory{number}/state", "offline")
            sent = tuple(kernel.uevents)
        rows = state._connection.execute("SELECT uevents FROM log").fetchall()
        assert state.log()[-1].uevents == sent
    assert [len(json.loads(text)) for (text,) in rows][-1] == 1
    assert len(sent) == 4


@contextmanager
def folder_for_all() -> Iterator[Path]:
    """A folder that anybody can walk to; pytest's own are the user's alone."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        yield Path(name)


def as_nobody(do: Callable[[], object]) -> str:
    """What a process without rights is told; nothing where it works."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        said = "nothing was done"
        try:
            if os.getuid() == 0:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            do()
            said = ""
        except MemhpError as error:
            said = str(error)
        except BaseException as fault:
            said = f"fault: {fault!r}"
        finally:
            os.write(writer, said.encode())
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        said = pipe.read()
    os.waitpid(pid, 0)
    return said


def test_a_file_that_may_only_be_read_is_read() -> None:
    with folder_for_all() as folder:
        StateFile.create(folder / "m", TEXT).close()
        (folder / "m").chmod(0o444)
        assert as_nobody(lambda: looked(folder / "m")) == ""
        said = as_nobody(lambda: write(folder / "m", "offline"))
        assert "'m' cannot be written (" in said.replace(str(folder) + "/", "")
        assert said.endswith(": look at the permissions of the file and of its folder")
        (folder / "m").chmod(0)
        said = as_nobody(lambda: looked(folder / "m"))
        assert "cannot be opened (unable to open database file)" in said


def test_a_folder_that_may_only_be_read() -> None:
    with folder_for_all() as folder:
        StateFile.create(folder / "m", TEXT).close()
        (folder / "m").chmod(0o666)
        folder.chmod(0o555)
        assert as_nobody(lambda: looked(folder / "m")) == ""
        said = as_nobody(lambda: write(folder / "m", "offline"))
        assert "cannot be" in said
        assert said.endswith(": look at the permissions of the file and of its folder")
        said = as_nobody(lambda: StateFile.create(folder / "new", TEXT))
        assert "cannot be made (Permission denied): give a new name in a folder" in said
        folder.chmod(0)
        said = as_nobody(lambda: StateFile.open(folder / "m"))
        assert "cannot be opened (Permission denied)" in said
        folder.chmod(0o777)
        assert [each.name for each in folder.iterdir()] == ["m"]


def test_a_holder_that_cannot_be_noted_holds_all_the_same(path: Path) -> None:
    note = path.with_name("m-holder")
    note.mkdir()
    with (
        StateFile.open(path) as state,
        state.change("x"),
        pytest.raises(MachineLocked, match="is being changed by another process: try again"),
    ):
        write(path, "offline")
    write(path, "offline")


NOTES = {
    "nothing": "",
    "no JSON": "{",
    "another kind": "[1]",
    "no such process": '{"pid": 4194305, "started": "1", "asked": "x", "since": "y"}',
    "a process that started later": '{"pid": 1, "started": "no", "asked": "x", "since": "y"}',
    "no process at all": '{"pid": 4194305, "started": null, "asked": "x", "since": "y"}',
    "no number": '{"pid": "a", "started": "1", "asked": "x", "since": "y"}',
    "too large a number": '{"pid": 1e999, "started": "1", "asked": "x", "since": "y"}',
    "deep": "[" * 100_000,
}


@pytest.mark.parametrize("note", NOTES.values(), ids=NOTES.keys())
def test_a_note_that_is_not_true_is_not_believed(path: Path, note: str) -> None:
    path.with_name("m-holder").write_text(note)
    assert tell_holder(path) == "another process"


def test_a_note_of_any_text_is_one_line(path: Path) -> None:
    note_holder(path, "write 'a\n\udcff'", "12:00:00Z")
    told = str(MachineLocked(machine="m", problem=f"is held by {tell_holder(path)}"))
    assert f"process {os.getpid()} (" in told
    assert r"to write 'a\n\udcff', since 12:00:00Z" in told


def test_the_command_line_tells_who_holds_it(
    path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StateFile.open.__func__, "__kwdefaults__", DEFAULTS)  # type: ignore[attr-defined]
    with StateFile.open(path) as state, state.change("evacuate node1"):
        code = main(["offline", "4", "-M", f"model:{path}"])
    said = capsys.readouterr().err
    assert code == 5
    assert f"memhp: machine '{path}' is being changed by process {os.getpid()} (" in said
    assert "to evacuate node1, since " in said
    assert said.endswith(": try again when that is done\n")
    assert main(["offline", "4", "-M", f"model:{path}"]) == 0


DEFAULTS = {**(StateFile.open.__func__.__kwdefaults__ or {}), "wait_seconds": 0}  # type: ignore[attr-defined]


def test_a_change_within_a_change_is_refused(path: Path) -> None:
    with (
        StateFile.open(path) as state,
        state.change("outer"),
        pytest.raises(MachineLocked, match="by this very command"),
        state.change("inner"),
    ):
        pass
    with StateFile.open(path) as state:
        assert [row.asked for row in state.log()] == ["boot", "boot", "outer"]


def test_a_reader_that_goes_on_reading_holds_a_writer_up_but_spoils_nothing(path: Path) -> None:
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM state").fetchone()
    with pytest.raises(MachineLocked, match="try again"):
        write(path, "offline")
    reader.execute("COMMIT")
    reader.close()
    write(path, "offline")
    assert [each.name for each in path.parent.iterdir()] == ["m"]


def test_errors_of_damage_keep_the_exit_code_of_a_machine(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path.write_bytes(b"SQLite format 3\0" + bytes(5000))
    for words in (["model", "log", str(path)], ["ls", "-M", f"model:{path}"]):
        assert main(words) == MachineError.exit_code == 3
        said = capsys.readouterr().err
        assert said.startswith(f"memhp: machine '{path}' is ")
        assert said.count("\n") == 1
