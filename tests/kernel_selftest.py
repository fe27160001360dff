"""The kernel's own test of memory hotplug: fetched with Debian's source package, and kept.

Nothing of it is in this project. Only the one file is unpacked, and it lies in
the lab's cache afterwards.
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from memhp.machines.lab.kernels import CACHE_VARIABLE

PACKAGE = "linux-source-6.12"
SCRIPT = "tools/testing/selftests/memory-hotplug/mem-on-off-test.sh"
_ARCHIVE = f"./usr/src/{PACKAGE}.tar.xz"


class NotToBeHad(Exception):
    """The package, or a program that unpacks it, is not there."""


def selftest() -> Path:
    """The script; skips the test where it cannot be had, or fails where it has to be."""
    script = _cache() / Path(SCRIPT).name
    if not script.is_file():
        try:
            _fetch(script)
        except NotToBeHad as problem:
            reason = f"the kernel's selftest cannot be had: {problem}"
            if os.environ.get("MEMHP_REQUIRE_KERNEL") == "1":
                pytest.fail(reason)
            pytest.skip(reason)
    return script


def _cache() -> Path:
    given = os.environ.get(CACHE_VARIABLE)
    home = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    return (Path(given) if given else home / "memhp" / "kernels") / "selftests"


def _fetch(script: Path) -> None:
    script.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=script.parent) as work:
        _run(["apt-get", "-q", "download", PACKAGE], work)
        [package] = Path(work).glob("*.deb")
        command = (
            f"dpkg --fsys-tarfile {package.name} | tar -xO {_ARCHIVE} |"
            f" tar -xJ --occurrence=1 --strip-components=5 {PACKAGE}/{SCRIPT}"
        )
        # The readers stop at what they look for, so that the writers before them are cut off.
        _run(["sh", "-c", command], work)
        unpacked = Path(work) / script.name
        if not unpacked.is_file():
            raise NotToBeHad(f"package {PACKAGE} has no {SCRIPT}")
        shutil.move(unpacked, script)


def _run(command: list[str], folder: str) -> None:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    except OSError as err:
        raise NotToBeHad(f"{command[0]} cannot be run ({err.strerror})") from err
    if done.returncode:
        raise NotToBeHad((done.stderr.strip().splitlines() or ["no reason given"])[-1])
