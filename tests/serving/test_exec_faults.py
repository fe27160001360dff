"""A command is not started where the model does not stand in for everything that it has to."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from model_exec import require_exec

DRIVER = Path(__file__).with_name("faulty_exec.py")
TOLERATED = ("mount debugfs /sys/kernel/debug", "mount overlay ")
"""Without these the command runs, and less is there: no debugfs, no modprobe at all."""
PRIVATE = "mount 278528 /"
"""Undone, this shows only where mounts are shared with other namespaces."""


@pytest.fixture(autouse=True)
def _can_run() -> None:
    require_exec()


def run(fault: str, number: int, mark: Path) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """Run ``touch mark`` with a fault; returns also the calls that were made."""
    told, tell = os.pipe()
    command = f'exec {tell}>&{tell} 3>&{tell}; exec "$0" "$@"'
    done = subprocess.run(
        ["/bin/bash", "-c", command, sys.executable, DRIVER, fault, str(number), "touch", mark],
        capture_output=True,
        text=True,
        pass_fds=[tell],
    )
    os.close(tell)
    with os.fdopen(told) as calls:
        return done, calls.read().splitlines()


def refused(done: subprocess.CompletedProcess[str], mark: Path) -> bool:
    """Whether one sentence says that nothing was started, and nothing was."""
    return (
        done.returncode == 3
        and done.stderr.count("\n") == 1
        and done.stderr.startswith("memhp: machine ")
        and not mark.exists()
    )


def was_so(call: str) -> bool:
    """Whether a call makes read-only what is so on this host already."""
    kind, _, path = call.partition(" ")
    return kind == "read-only" and bool(os.statvfs(path).f_flag & os.ST_RDONLY)


def test_without_a_fault_the_command_runs(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    done, calls = run("none", 0, mark)
    assert (done.returncode, done.stderr, mark.exists()) == (0, "", True)
    assert "bind /sys/devices/system/memory" in calls


@pytest.mark.parametrize(
    "fault", ["does-not-start", "breaks", "wrong-nonce", "not-fuse", "nothing-there", "killed"]
)
def test_a_server_that_is_not_right(fault: str, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    done, _ = run(fault, 0, mark)
    assert refused(done, mark), done


def test_each_call_that_fails(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    _, calls = run("none", 0, tmp_path / "once")
    seen = set()
    for number, call in enumerate(calls, 1):
        kind = call.rpartition("/")[0]
        if kind in seen:
            # One of a kind is enough: what fails is raised, whatever it was.
            continue
        seen.add(kind)
        done, _ = run("fails", number, mark)
        if call.startswith(TOLERATED):
            assert (done.returncode, mark.exists()) == (0, True), call
            mark.unlink()
        else:
            assert refused(done, mark), (call, done)


def test_each_call_that_does_nothing_and_says_that_it_did(tmp_path: Path) -> None:
    """What is looked at is the result, through the paths that the command uses."""
    mark = tmp_path / "ran"
    _, calls = run("none", 0, tmp_path / "once")
    unseen = []
    for number, call in enumerate(calls, 1):
        done, _ = run("silent", number, mark)
        if not refused(done, mark):
            mark.unlink()
            if call != PRIVATE and not call.startswith(TOLERATED) and not was_so(call):
                unseen.append(call)
    assert "\n".join(unseen) == ""
