"""Models that are mounted, for tests, and what is needed for that."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from memhp.serving.mounted import Mounted, start_mounted

MEMORY = "sys/devices/system/memory"
PINNED = """
command_line = "memhp_default_state=online_movable"
[[node]]
memory = "2G"
[[dimm]]
size = "1G"
[[failures.pinned]]
blocks = 34
what = "an O_DIRECT buffer"
"""
"""Blocks of 128 MiB: 0 to 15 at boot, the DIMM's 32 to 39, all movable; 34 never gets free."""

Mount = Callable[..., Mounted]


def missing() -> str | None:
    """What this machine lacks to mount anything; ``None`` where it can."""
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "there is no /dev/fuse that this user may open"
    if os.geteuid() != 0 and shutil.which("fusermount3") is None:
        return "only root mounts without fusermount3 (package fuse3)"
    done = subprocess.run(["ldconfig", "-p"], capture_output=True, text=True)
    if "libfuse3.so" not in done.stdout:
        return "there is no libfuse 3 (package fuse3)"
    return None


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    """Mounts a machine at a new folder; unmounts all of them in the end."""
    reason = missing()
    if reason is not None:
        if os.environ.get("MEMHP_REQUIRE_KERNEL") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    mounts: list[Mounted] = []

    def mounted(source: str, *, uevents: Path | None = None) -> Mounted:
        folder = tmp_path / f"mount{len(mounts)}"
        folder.mkdir()
        mounts.append(start_mounted(source, folder, uevents=uevents))
        return mounts[-1]

    yield mounted
    for each in mounts:
        each.close()


def described(folder: Path, text: str) -> str:
    """Write a description into a file; returns its name."""
    path = folder / "described.toml"
    path.write_text(text)
    return str(path)


def state_of(mounted: Mounted, block: int) -> Path:
    """The ``state`` file of a block."""
    return mounted.folder / MEMORY / f"memory{block}/state"
