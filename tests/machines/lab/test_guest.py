"""Guests that do not come up leave nothing, and say why."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from subprocess import PIPE

import pytest

from memhp.core.errors import MachineError
from memhp.core.guest_shape import GuestShape
from memhp.machines.lab.guest import Guest

_SHAPE = GuestShape(kernel="6.12", nodes=(1 << 30,))


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A lab with a kernel, and a QEMU that makes its sockets and then refuses."""
    (tmp_path / "kernels/6.12/modules").mkdir(parents=True)
    (tmp_path / "kernels/6.12/vmlinuz-6.12").touch()
    (tmp_path / "bin").mkdir()
    qemu = tmp_path / "bin/qemu-system-x86_64"
    qemu.write_text(f"#!/bin/sh\ntouch {tmp_path}/lab/g1/qmp\necho 'no such size' >&2; exit 1\n")
    qemu.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.setenv("MEMHP_LAB_CACHE", str(tmp_path / "kernels"))
    monkeypatch.setenv("MEMHP_LAB_DIR", str(tmp_path / "lab"))
    return tmp_path / "lab"


@pytest.mark.parametrize("bound", [False, True])
@pytest.mark.usefixtures("lab")
def test_what_qemu_refuses_is_told(lab: Path, *, bound: bool) -> None:
    with pytest.raises(MachineError, match=r"'lab:g1' does not start \(no such size\)"):
        Guest("g1", bound=bound).up(_SHAPE)
    assert list(lab.iterdir()) == []


@pytest.mark.usefixtures("lab")
def test_a_folder_that_cannot_be_made_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMHP_LAB_DIR", "/proc/none")
    with pytest.raises(MachineError, match="has no folder to live in: /proc/none/g1 cannot"):
        Guest("g1").up(_SHAPE)


def line(process: subprocess.Popen[bytes]) -> bytes:
    assert process.stdout is not None
    return process.stdout.readline()


def await_end(folder: Path) -> None:
    """Wait until a folder is gone, for whoever takes it away is nobody's child."""
    end = time.monotonic() + 30
    while folder.exists():
        assert time.monotonic() < end


_UP = """
import os, sys
from pathlib import Path
from memhp.machines.lab.starter import ends_with_starter
folder = Path(sys.argv[1])
with ends_with_starter(folder):
    print("waits", flush=True)
    sys.stdin.readline()
"""


@pytest.mark.parametrize("killed", [True, False])
def test_a_guest_that_is_not_up_ends_with_its_starter(tmp_path: Path, *, killed: bool) -> None:
    """A stand-in for QEMU, which has the guest's folder in its arguments as QEMU has."""
    folder = tmp_path / "g1"
    folder.mkdir()
    with (
        subprocess.Popen(
            ["sh", "-c", "echo; read word", str(folder)], stdin=PIPE, stdout=PIPE
        ) as guest,
        subprocess.Popen(
            [sys.executable, "-c", _UP, str(folder)], stdin=PIPE, stdout=PIPE
        ) as starter,
    ):
        line(guest)
        (folder / "pid").write_text(str(guest.pid))
        assert line(starter) == b"waits\n"
        if killed:
            starter.kill()
            assert guest.wait(30) == -signal.SIGKILL
            await_end(folder)
        else:
            starter.communicate(b"\n")
            assert guest.poll() is None
            assert folder.exists()
            guest.kill()
