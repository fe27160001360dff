"""Changes of blocks are told as they happen, from a mounted model; whoever goes ends it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from memhp.core.errors import NotSupported
from memhp.interfaces.cli.main import main
from memhp.machines.linux.root import Root
from memhp.machines.linux.uevents import open_uevents
from mounts import PINNED, Mount, described, mount

__all__ = ["mount"]
Watcher = subprocess.Popen[str]
SECONDS = 60


@pytest.fixture
def folder(tmp_path: Path, mount: Mount) -> Path:
    return mount(described(tmp_path, PINNED), uevents=tmp_path / "uevents").folder


@contextmanager
def started(folder: Path, *words: str) -> Iterator[Watcher]:
    """A watcher that listens already: it says so."""
    with subprocess.Popen(
        [sys.executable, "-m", "memhp", "watch", *words, "-M", f"linux:{folder}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as watcher:
        assert watcher.stderr is not None
        assert "Ctrl-C ends it" in watcher.stderr.readline()
        try:
            yield watcher
        finally:
            watcher.kill()


def put(folder: Path, block: int, word: str) -> None:
    (folder / f"sys/devices/system/memory/memory{block}/state").write_text(word)


def lines(watcher: Watcher) -> Iterator[str]:
    assert watcher.stdout is not None
    return iter(watcher.stdout)


def test_each_change_has_the_zone_that_was_read_after_it(folder: Path) -> None:
    with started(folder, "--json") as watcher:
        told = lines(watcher)
        put(folder, 39, "offline")
        away = json.loads(next(told))
        put(folder, 39, "online_movable")
        back = json.loads(next(told))
        watcher.send_signal(signal.SIGINT)
        assert watcher.wait(SECONDS) == 0
        assert watcher.stderr is not None
        assert watcher.stderr.read() == ""
    assert (away["action"], away["block"], away["state"]) == ("offline", 39, "offline")
    assert "Movable" in away["zones"]
    found = [back[key] for key in ("action", "block", "state", "zones", "node")]
    assert found == ["online", 39, "online", ["Movable"], 0]


def test_it_ends_when_nobody_reads_any_longer(folder: Path) -> None:
    with started(folder) as watcher:
        put(folder, 39, "offline")
        assert "memory39     offline  offline" in next(lines(watcher))
        assert watcher.stdout is not None
        watcher.stdout.close()
        assert watcher.wait(SECONDS) == 0


@pytest.mark.parametrize("address", ["model:laptop", "linux:"])
def test_what_cannot_be_watched_says_why(
    address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = f"linux:{tmp_path}" if address == "linux:" else address
    assert main(["watch", "-M", where]) == 1
    assert "cannot be watched" in capsys.readouterr().err


def test_a_model_without_a_socket(tmp_path: Path, mount: Mount) -> None:
    folder = mount(described(tmp_path, PINNED)).folder
    assert main(["watch", "-M", f"linux:{folder}"]) == 1


def test_this_host_can_be_listened_to() -> None:
    try:
        uevents = open_uevents(Root("/", "linux:"))
    except NotSupported as error:
        pytest.skip(str(error))
    assert os.fstat(uevents.fileno())
    assert uevents.hear() is None
    uevents.close()
