"""Addresses of model machines: what each means, and one sentence for those that mean nothing."""

import gc
import shutil
import sqlite3
from pathlib import Path

import pytest

from memhp.core.errors import DescriptionError, MemhpError, NoSuchMachine, StateFileError
from memhp.core.geometry import BlockId
from memhp.core.outcome import Done
from memhp.core.plan import OfflineBlock, Step
from memhp.core.snapshot import Want
from memhp.core.words import BlockState
from memhp.machines.open import open_machine
from memhp.machines.open_model import open_model
from memhp.model.shipped import shipped_machines
from memhp.model.store import StateFile

SMALL = '[[node]]\nmemory = "1G"\n[guests.web]\n[[guests.web.node]]\nmemory = "2G"\n'
FOUR = BlockId(4)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that commands run in: a description, a state file, and a few others."""
    monkeypatch.chdir(tmp_path)
    Path("x.toml").write_text(SMALL)
    StateFile.create("m.machine", SMALL).close()
    Path("sub/empty").mkdir(parents=True)
    shutil.copy("m.machine", "sub/m")
    shutil.copy("x.toml", "sub/x.toml")
    Path("text").write_text("hello\n" * 500)
    return tmp_path


def blocks(rest: str) -> int:
    return len(open_model(rest).snapshot(Want.BLOCKS).blocks)


def take_offline(rest: str) -> None:
    machine = open_model(rest)
    step = Step(machine=machine.name, action=OfflineBlock(block=FOUR))
    assert machine.apply(step, until=None, tell=lambda _: None) == Done()


def state_in(rest: str) -> BlockState:
    return open_model(rest).snapshot(Want.BLOCKS).blocks[FOUR].state


MEANT = {
    "": (64, False),
    "server": (64, False),
    "x.toml": (8, False),
    "./x.toml": (8, False),
    "sub/x.toml": (8, False),
    "x.toml/web": (16, False),
    "sub/x.toml/web": (16, False),
    "m.machine": (8, True),
    "m.machine/": (8, True),
    "m.machine/web": (16, True),
    "sub/m": (8, True),
    "sub/m/web": (16, True),
}


@pytest.mark.parametrize("rest", MEANT)
def test_what_an_address_means(rest: str) -> None:
    machine = open_machine(f"model:{rest}")
    assert machine.name == f"model:{rest}"
    assert (blocks(rest), open_model(rest).lasts) == MEANT[rest]


def test_an_absolute_path(folder: Path) -> None:
    assert blocks(str(folder / "sub" / "m")) == 8
    assert blocks(str(folder / "sub" / "m" / "web")) == 16


@pytest.mark.parametrize("name", shipped_machines())
def test_what_comes_with_memhp_is_opened_by_name(name: str) -> None:
    assert open_model(name).snapshot(Want.NODES).nodes


def test_a_guest_of_one_that_comes_with_memhp() -> None:
    host, guest = open_model("host"), open_model("host/database")
    assert guest.snapshot().blocks != host.snapshot().blocks


def test_what_is_done_lasts_in_a_state_file_alone() -> None:
    for rest in ("m.machine", "x.toml", "m.machine/web", "x.toml/web"):
        take_offline(rest)
    assert {rest: state_in(rest) for rest in ("m.machine", "x.toml")} == {
        "m.machine": BlockState.OFFLINE,
        "x.toml": BlockState.ONLINE,
    }
    assert (state_in("m.machine/web"), state_in("x.toml/web"), state_in("sub/m")) == (
        BlockState.OFFLINE,
        BlockState.ONLINE,
        BlockState.ONLINE,
    )


def test_identities_tell_machines_apart() -> None:
    rests = ("m.machine", "m.machine/web", "server", "laptop", "x.toml", "x.toml/web")
    assert len({open_model(rest).identity for rest in rests}) == len(rests)
    assert open_model("m.machine").identity == open_model("./m.machine").identity


def test_a_state_file_comes_before_a_machine_of_its_name() -> None:
    shutil.copy("m.machine", "server")
    assert (blocks("server"), blocks("server/web"), open_model("server").lasts) == (8, 16, True)


def test_a_folder_hides_no_machine_that_comes_with_memhp() -> None:
    Path("server").mkdir()
    assert blocks("server") == 64


@pytest.mark.parametrize(
    "name", ["a?mode=ro", "50%25", "a#b", " ", "a:b", "model:", "ü", "\udcff", "a\nb", "~", "$x"]
)
def test_odd_names_of_files(name: str) -> None:
    shutil.copy("m.machine", name)
    take_offline(name)
    assert state_in(name) is BlockState.OFFLINE
    assert blocks(f"{name}/web") == 16


NO_FILE = "does not come with memhp and is no file: there are host, laptop, "
WRONG = {
    "a misspelt name": ("sever", NoSuchMachine, NO_FILE),
    "no such description": ("y.toml", NoSuchMachine, NO_FILE),
    "no such file": ("y.machine", NoSuchMachine, NO_FILE),
    "no such file in a folder": ("sub/y", NoSuchMachine, f"machine 'sub/y' {NO_FILE}"),
    "no such folder": ("no/y", NoSuchMachine, f"machine 'no/y' {NO_FILE}"),
    "a guest of nothing": ("sever/web", NoSuchMachine, f"machine 'sever/web' {NO_FILE}"),
    "a guest alone": ("/web", NoSuchMachine, NO_FILE),
    "a line break": ("a\nb", NoSuchMachine, r"'a\nb'"),
    "a zero byte": ("a\0b", NoSuchMachine, r"'a\x00b'"),
    "a folder": ("sub", DescriptionError, "is a directory"),
    "a folder as a machine with a guest": ("sub/empty", DescriptionError, "is a directory"),
    "the root": ("/", DescriptionError, "is a directory"),
    "a file that is none": ("text", StateFileError, "machine 'text' is no state file"),
    "a guest of that": ("text/web", StateFileError, "machine 'text' is no state file"),
    "no guest of a state file": ("m.machine/db", MemhpError, "no guest 'db': its guests are web"),
    "no guest of a description": ("x.toml/db", MemhpError, "no guest 'db': its guests are web"),
    "no guest of one that has none": ("server/db", MemhpError, "'db': it has no guests"),
    "two guests": ("m.machine/web/web", NoSuchMachine, NO_FILE),
    "too long": ("a" * 300, StateFileError, "cannot be opened (File name too long)"),
}


@pytest.mark.parametrize(("rest", "kind", "told"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_address_is_one_sentence(rest: str, kind: type[MemhpError], told: str) -> None:
    with pytest.raises(kind) as caught:
        open_model(rest)
    sentence = str(caught.value)
    assert told.lower() in sentence.lower()
    assert "\n" not in sentence


def test_a_machine_that_nobody_closes_closes_itself() -> None:
    """Python 3.13 warns of a connection to SQLite that is dropped open."""
    machine = open_model("m.machine")
    connection = machine._source._file._connection  # type: ignore[attr-defined]
    del machine
    gc.collect()
    with pytest.raises(sqlite3.ProgrammingError, match="closed database"):
        connection.execute("SELECT 1")
