"""``memhp model mount`` and ``umount`` as a person uses them."""

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from memhp.interfaces.cli.main import main
from memhp.serving.unmount import is_mounted
from mounts import MEMORY, described, mount

__all__ = ["mount"]
pytestmark = pytest.mark.usefixtures("mount")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder at which nothing stays mounted."""
    made = tmp_path / "mount"
    made.mkdir()
    yield made
    if is_mounted(made):
        main(["model", "umount", str(made)])


@pytest.fixture
def said_of(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[[str, str], tuple[int, str]]:
    """Mounts something somewhere; gives the exit code and what was said."""
    monkeypatch.chdir(folder.parent)
    Path("wrong.toml").write_text("nodes = 1\n")

    def say(source: str, place: str) -> tuple[int, str]:
        code = main(["model", "mount", source, place])
        said = capsys.readouterr()
        assert said.out == ""
        return code, said.err

    return say


def test_it_goes_to_the_background_and_says_what_to_do(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["model", "mount", "server", str(folder)]) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"server is mounted at {folder}, served by process ")
    assert f"memhp model umount {folder}" in said.err
    assert main(["offline", "40", "-M", f"linux:{folder}"]) == 0
    assert (folder / MEMORY / "memory40/state").read_text() == "offline\n"
    capsys.readouterr()
    assert main(["undo", "-M", f"linux:{folder}"]) == 0
    assert (folder / MEMORY / "memory40/state").read_text() == "online\n"
    assert main(["model", "umount", str(folder)]) == 0
    assert "model:server is no longer mounted" in capsys.readouterr().err
    assert not is_mounted(folder)
    assert main(["model", "umount", str(folder)]) == 2
    assert "no folder at which a model is mounted" in capsys.readouterr().err


def test_json(folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    socket = str(tmp_path / "uevents")
    words = ["model", "mount", "server", str(folder), "--uevents", socket, "--json"]
    assert main(words) == 0
    said = json.loads(capsys.readouterr().out)
    note = json.loads((folder / ".memhp").read_text())
    assert said == {
        "machine": "server",
        "folder": str(folder),
        "pid": note["pid"],
        "nonce": note["nonce"],
        "uevents": socket,
    }
    assert main(["model", "umount", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "folder": str(folder),
        "machine": "model:server",
    }


def test_a_machine_that_is_served_is_locked_and_says_where(
    folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = str(tmp_path / "m.machine")
    assert main(["model", "new", "server", file]) == 0
    assert main(["model", "mount", file, str(folder)]) == 0
    capsys.readouterr()
    for words in (["offline", "40", "-M", f"model:{file}"], ["model", "restart", file]):
        assert main(words) == 5
        said = capsys.readouterr().err
        assert said.startswith(f"memhp: machine '{file}' is served by process ")
        assert f"use '-M linux:{folder}'" in said
    (folder / MEMORY / "memory40/state").write_text("offline")
    assert main(["model", "log", file]) == 0
    assert "write 'offline' to /sys/devices/system/memory/memory40/state: done" in (
        capsys.readouterr().out
    )
    assert main(["model", "umount", str(folder)]) == 0
    assert main(["model", "tree", "-M", f"model:{file}", f"/{MEMORY}/memory40/state"]) == 0
    assert capsys.readouterr().out == "offline\n"


@pytest.mark.parametrize(
    ("source", "place", "told"),
    [
        ("nobody", "mount", (3, "'nobody' does not come with memhp and is no file")),
        ("server", "none", (2, "none' does not exist: give an empty folder to mount on")),
        ("server", ".", (2, "is not empty: give an empty folder to mount on")),
        ("server", "/proc", (2, "'/proc' is a mount already")),
        ("wrong.toml", "mount", (3, "wrong.toml, line 1: 'nodes' is not known")),
        ("", "mount", (2, "'' names no machine: give one as 'memhp model list' shows them")),
    ],
)
def test_what_is_wrong_is_one_sentence(
    said_of: Callable[[str, str], tuple[int, str]], source: str, place: str, told: tuple[int, str]
) -> None:
    code, sentence = said_of(source, place)
    assert code == told[0]
    assert sentence.count("\n") == 1
    assert told[1] in sentence


@pytest.mark.parametrize("words", [("mount", "server", "m"), ("umount", "m")])
def test_where_the_current_folder_is_gone_it_says_so(
    words: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert main(["model", *words]) == 2
    said = capsys.readouterr().err
    assert "'m' cannot be found from the current folder (No such file or directory)" in said
    assert said.count("\n") == 1


def test_a_python_that_cannot_be_run_is_said(
    said_of: Callable[[str, str], tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where another user's home holds it."""
    monkeypatch.setattr(sys, "executable", "/etc/passwd")
    code, sentence = said_of("server", "mount")
    assert code == 3
    assert "cannot be served (/etc/passwd cannot be run: Permission denied)" in sentence


def test_what_it_says_can_be_pasted(
    said_of: Callable[[str, str], tuple[int, str]], folder: Path
) -> None:
    place = folder / "my models"
    place.mkdir()
    _, said = said_of("server", str(place))
    assert f"memhp model umount '{place}'" in said
    assert f"lsmem --sysroot '{place}' " in said
    assert f"memhp -M 'linux:{place}'" in said
    assert main(["model", "umount", str(place)]) == 0


def test_without_the_library_it_says_what_to_install(
    said_of: Callable[[str, str], tuple[int, str]], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module of that name that cannot be imported stands for one that is not there."""
    (folder.parent / "broken").mkdir()
    (folder.parent / "broken/mfusepy.py").write_text("raise ImportError('gone')\n")
    monkeypatch.setenv("PYTHONPATH", str(folder.parent / "broken"))
    code, sentence = said_of("server", "mount")
    assert code == 1
    assert "cannot be mounted, for mfusepy is not installed: pip install 'memhp[serve]'" in sentence


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_in_the_foreground_a_signal_unmounts(folder: Path, number: signal.Signals) -> None:
    words = ["model", "mount", "server", str(folder), "--foreground"]
    # Whoever starts the tests in the background lets them ignore SIGINT.
    script = (
        "import signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from memhp.interfaces.cli.main import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    started = subprocess.Popen(
        [sys.executable, "-c", script, *words], stderr=subprocess.PIPE, text=True
    )
    assert started.stderr is not None
    assert "is mounted at" in started.stderr.readline()
    assert started.stderr.readline()
    assert started.stderr.readline()
    os.kill(started.pid, number)
    assert started.communicate()[1] == ""
    assert started.returncode == 0
    assert not is_mounted(folder)


def test_a_mount_that_a_dead_server_left_is_taken_away(
    folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Server and watcher die together, as when a whole container is killed."""
    assert (
        main(["model", "mount", described(tmp_path, '[[node]]\nmemory = "1G"\n'), str(folder)]) == 0
    )
    server = json.loads((folder / ".memhp").read_text())["pid"]
    children = Path(f"/proc/{server}/task/{server}/children").read_text().split()
    assert len(children) == 1
    servers = [os.pidfd_open(pid) for pid in (int(children[0]), server)]
    for each in servers:
        signal.pidfd_send_signal(each, signal.SIGKILL)
        select.select([each], [], [])
        os.close(each)
    assert is_mounted(folder)
    capsys.readouterr()
    assert main(["model", "mount", "server", str(folder)]) == 2
    assert "is a mount whose server does not answer: unmount it with" in capsys.readouterr().err
    assert main(["model", "umount", str(folder)]) == 0
    assert "a machine whose server did not answer" in capsys.readouterr().err
    assert not is_mounted(folder)
