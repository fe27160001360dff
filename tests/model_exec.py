"""Running commands on a mounted model, for tests; only where mounts of one's own can be made."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

_PROBE = "unshare --mount --pid --fork --propagation private true"
_AS_ROOT_OF_ITS_OWN = "unshare --user --map-root-user --mount --pid --fork true"


def why_no_exec() -> str | None:
    """Why no model can stand in for this host's files here; ``None`` where one can."""
    if not Path("/dev/fuse").exists():
        return "there is no /dev/fuse"
    if not Path("/sys/fs").is_dir():
        return "there is no sysfs at /sys"
    probe = _PROBE if os.geteuid() == 0 else _AS_ROOT_OF_ITS_OWN
    done = subprocess.run(probe.split(), capture_output=True, text=True)
    return f"no mount namespace can be made: {done.stderr.strip()}" if done.returncode else None


def require_exec() -> None:
    """Skip a test where commands cannot be run on a model, or fail where they have to."""
    reason = why_no_exec()
    if reason is None:
        return
    if os.environ.get("MEMHP_REQUIRE_KERNEL") == "1":
        pytest.fail(f"commands have to run on a model: {reason}")
    pytest.skip(reason)


def memhp(*words: str) -> list[str]:
    """The command line of memhp itself."""
    return [sys.executable, "-m", "memhp", *words]


def on_model(machine: str, *command: str, cwd: str = "/") -> subprocess.CompletedProcess[str]:
    """Run a command on a model machine, output and errors together."""
    return subprocess.run(
        memhp("model", "exec", machine, "--", *command),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        cwd=cwd,
    )
