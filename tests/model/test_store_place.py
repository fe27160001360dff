"""A new state file is there as a whole or not at all, and is built on nobody's remains."""

import errno
import os
import signal
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from memhp.core.errors import DescriptionError, NoSuchMachine, StateFileError
from memhp.model.description import start
from memhp.model.persist import encode_kernel
from memhp.model.store import StateFile

TEXT = '[[node]]\nmemory = "2G"\n[guests.web]\n[[guests.web.node]]\nmemory = "1G"\n'


def made(path: Path) -> bool:
    """Whether the machine is there, and as it boots."""
    with StateFile.open(path) as state:
        return encode_kernel(state.load()) == encode_kernel(start(state.description))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


WRONG_PLACES = {
    "nothing": ("", "exists already"),
    "here": (".", "exists already"),
    "above": ("..", "exists already"),
    "the root": ("/", "exists already"),
    "a folder": ("folder", "exists already"),
    "a device": ("/dev/null", "exists already"),
    "a link to nowhere": ("link", "exists already"),
    "no folder": ("no/m.machine", "there is no folder no"),
    "below a file": ("file/m.machine", "there is no folder file"),
    "not of this disk": ("/proc/m.machine", "cannot be made"),
    "a description's ending": ("m.toml", "would be taken for a description"),
    "too long": ("a" * 256, "File name too long"),
    "too long for its journal": ("a" * 250, "File name too long"),
    "a zero byte": ("a\0b", "null byte"),
}


@pytest.mark.parametrize(("name", "told"), WRONG_PLACES.values(), ids=WRONG_PLACES.keys())
def test_a_wrong_place_is_one_sentence(
    name: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Path("file").touch()
    Path("link").symlink_to("nowhere")
    with pytest.raises(StateFileError, match=told) as caught:
        StateFile.create(name, TEXT)
    assert "\n" not in str(caught.value)
    assert names(tmp_path) == ["file", "folder", "link"]


def test_a_wrong_description_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(DescriptionError, match=r"rack\.toml, line 2"):
        StateFile.create(tmp_path / "m", '[[node]]\nmemory = "2X"\n', file="rack.toml")
    assert names(tmp_path) == []


def test_a_name_may_be_as_long_as_its_journals_allows(tmp_path: Path) -> None:
    path = tmp_path / ("a" * (255 - len("-journal")))
    StateFile.create(path, TEXT).close()
    with StateFile.open(path) as state:
        state.restart()
    assert made(path)


@pytest.mark.parametrize("name", ["a?b", "50%41", "a#b", " ", "-x", "ü\n", "\udcff", ":memory:"])
def test_a_name_may_hold_any_character(name: str, tmp_path: Path) -> None:
    StateFile.create(tmp_path / name, TEXT, file=f"{name}.toml").close()
    with StateFile.open(tmp_path / name) as state:
        state.restart()
    assert made(tmp_path / name)
    assert names(tmp_path) == [name]


def test_a_relative_name_stays_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with StateFile.create("m", TEXT) as state:
        state.restart()
    assert names(tmp_path) == ["m"]


def test_the_rights_are_those_that_the_user_gives_new_files(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        StateFile.create(tmp_path / "m", TEXT).close()
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "m").stat().st_mode) == 0o600


def test_what_a_killed_maker_left_is_taken_away(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    for left in (f".memhp-{child.pid}-00.new", f".memhp-{child.pid}-00.new-journal"):
        (tmp_path / left).write_text("rest")
    others = [f".memhp-{os.getpid()}-00.new", ".memhp-x.new", ".memhp-.new", "other.new"]
    for other in others:
        (tmp_path / other).write_text("not ours to take")
    StateFile.create(tmp_path / "m", TEXT).close()
    assert names(tmp_path) == sorted([*others, "m"])


def hot_journal(path: Path) -> bytes:
    """The journal that a process leaves that is killed in the middle of writing."""
    pid = os.fork()
    if pid == 0:
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute("PRAGMA cache_size=0")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE state SET value = value || 'x', crc = 0")
        connection.execute("UPDATE log SET asked = zeroblob(50000)")
        os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL
    journal = path.with_name(f"{path.name}-journal").read_bytes()
    assert len(journal) > 4096
    return journal


def test_a_hot_journal_is_rolled_back(tmp_path: Path) -> None:
    StateFile.create(tmp_path / "m", TEXT).close()
    hot_journal(tmp_path / "m")
    assert made(tmp_path / "m")
    assert names(tmp_path) == ["m"]


def test_the_journal_of_a_machine_that_was_removed_spoils_no_new_one(tmp_path: Path) -> None:
    path = tmp_path / "m"
    StateFile.create(path, TEXT).close()
    hot_journal(path)
    path.unlink()
    StateFile.create(path, TEXT.replace("2G", "3G")).close()
    assert made(path)
    with StateFile.open(path) as state:
        assert state.load().online_blocks() == 24


@pytest.mark.parametrize("code", [errno.EPERM, errno.EOPNOTSUPP])
def test_a_file_system_without_links(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(new: Path, target: Path) -> None:
        raise OSError(code, "no links here")

    monkeypatch.setattr(os, "link", no_links)
    StateFile.create(tmp_path / "m", TEXT).close()
    assert made(tmp_path / "m")
    assert names(tmp_path) == ["m"]


def test_of_two_makers_one_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other comes while this one fills its file."""
    monkeypatch.setattr(
        "memhp.model.store.write_row", lambda *_, **__: (tmp_path / "m").write_text("other")
    )
    with pytest.raises(StateFileError, match="exists already"):
        StateFile.create(tmp_path / "m", TEXT)
    assert (names(tmp_path), (tmp_path / "m").read_text()) == (["m"], "other")


def test_makers_at_once_leave_one_machine(tmp_path: Path) -> None:
    path = tmp_path / "m"
    makers = [os.fork() for _ in range(3) if os.getpid() == PARENT]
    if 0 in makers:
        try:
            StateFile.create(path, TEXT).close()
        except StateFileError:
            os._exit(1)
        except BaseException:
            os._exit(2)
        os._exit(0)
    codes = sorted(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in makers)
    assert codes == [0, 1, 1]
    assert made(path)
    assert names(tmp_path) == ["m"]


PARENT = os.getpid()


def test_a_full_disk_makes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from memhp.model import store, store_database

    def small(path: Path) -> sqlite3.Connection:
        connection = store_database.create_database(path)
        [pages] = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count={pages}")
        return connection

    monkeypatch.setattr(store, "create_database", small)
    with pytest.raises(StateFileError, match="the disk is full"):
        StateFile.create(tmp_path / "m", TEXT)
    assert names(tmp_path) == []
    with pytest.raises(NoSuchMachine):
        StateFile.open(tmp_path / "m")
