"""Kernels for the lab: Debian's cloud images, unpacked into a cache and never installed."""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from memhp.core.errors import MachineError

CACHE_VARIABLE = "MEMHP_LAB_CACHE"
_PATTERNS = {
    "6.12": r"^linux-image-6\.12\.[0-9]+\+deb12-cloud-amd64(-unsigned)?$",
    "6.1": r"^linux-image-6\.1\.0-[0-9]+-cloud-amd64(-unsigned)?$",
}
KERNELS = tuple(_PATTERNS)


def find_kernel(series: str) -> Path:
    """The kernel image of a series, downloaded where it is not in the cache yet.

    Raises ``MachineError`` where there is no such package or it cannot be had.
    """
    folder = _cache() / series
    found = _image(folder)
    if found is not None:
        return found
    try:
        _fetch(series, folder)
    except MachineError:
        # The lists may be old, or there may be none yet; only root can fetch them.
        if os.geteuid() != 0:
            raise
        _run(["apt-get", "-qq", "update"], Path("/"), "apt's lists of packages")
        _fetch(series, folder)
    found = _image(folder)
    if found is None:
        raise _missing(f"the package for {series} holds no kernel")
    return found


def _fetch(series: str, folder: Path) -> None:
    """Download the newest package of a series and unpack its kernel into a folder."""
    package = _newest(series)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as work:
        _run(["apt-get", "-q", "download", package], Path(work), f"package {package}")
        [archive] = Path(work).glob("*.deb")
        unpacked = Path(work) / "unpacked"
        _run(["dpkg", "-x", str(archive), str(unpacked)], Path(work), f"package {package}")
        shutil.rmtree(folder, ignore_errors=True)
        (unpacked / "boot").rename(folder)


def _cache() -> Path:
    given = os.environ.get(CACHE_VARIABLE)
    if given:
        return Path(given)
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(home).expanduser() / "memhp" / "kernels"


def _image(folder: Path) -> Path | None:
    return next(iter(sorted(folder.glob("vmlinuz-*"))), None) if folder.is_dir() else None


def _newest(series: str) -> str:
    """The newest package of a series that apt knows."""
    command = ["apt-cache", "search", "--names-only", _PATTERNS[series]]
    names = [line.split()[0] for line in _run(command, Path("/"), "apt-cache").splitlines()]
    # Signed and unsigned images hold the same kernel; which of them there is varies.
    if not names:
        raise _missing(f"apt knows no package like {_PATTERNS[series]}")
    return max(names, key=lambda name: [int(n) for n in re.findall(r"\d+", name)])


def _run(command: list[str], folder: Path, what: str) -> str:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except OSError as err:
        raise _missing(f"{command[0]} cannot be run ({err.strerror})") from err
    if done.returncode != 0:
        why = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise _missing(f"{what} cannot be had ({why})")
    return done.stdout


def _missing(problem: str) -> MachineError:
    return MachineError(
        machine="lab:",
        problem=f"has no kernel to boot: {problem}",
        advice=f"put one under ${CACHE_VARIABLE}, as 6.12/vmlinuz-6.12",
    )
