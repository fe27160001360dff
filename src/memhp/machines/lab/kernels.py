"""Kernels for the lab: Debian's cloud images, unpacked into a cache and never installed."""

import lzma
import os
import re
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from memhp.core.errors import MachineError

CACHE_VARIABLE = "MEMHP_LAB_CACHE"
_PATTERNS = {
    "6.12": r"^linux-image-6\.12\.[0-9]+\+deb12-cloud-amd64(-unsigned)?$",
    "6.1": r"^linux-image-6\.1\.0-[0-9]+-cloud-amd64(-unsigned)?$",
}
KERNELS = tuple(_PATTERNS)
MODULES: Final = (
    "virtio_ring",
    "virtio",
    "virtio_pci_legacy_dev",
    "virtio_pci_modern_dev",
    "virtio_pci",
    "virtio_mem",
    "virtio_console",
    "notifier-error-inject",
    "memory-notifier-error-inject",
)
"""What a guest loads, in this order; a kernel that has one built in has no such file."""
_MODULES_FOLDER = "modules"
_LOOKED_FOR = "looked-for"
"""Names the modules for which a package was searched: an older cache lacks newer ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabKernel:
    """A kernel image and the modules of it that guests load, in the order of loading."""

    series: str
    image: Path
    modules: tuple[Path, ...]

    def config(self) -> Mapping[str, str]:
        """What it was built with, ``CONFIG_X`` by name; empty where that is not beside it."""
        file = self.image.with_name(self.image.name.replace("vmlinuz", "config", 1))
        if not file.is_file():
            return {}
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
        pairs = (line.partition("=") for line in lines if line.startswith("CONFIG_"))
        return {name: value.strip('"') for name, _, value in pairs}


def find_kernel(series: str) -> LabKernel:
    """The kernel of a series, downloaded where it is not in the cache yet.

    A kernel that somebody put there without modules is taken where no package
    can be had. Raises ``MachineError`` where there is none.
    """
    folder = _cache() / series
    found = _kernel(series, folder)
    if found is not None and _is_complete(folder):
        return found
    try:
        _fetch_or_update(series, folder)
    except MachineError:
        if found is None:
            raise
        return found
    found = _kernel(series, folder)
    if found is None:
        raise _missing(f"the package for {series} holds no kernel")
    return found


def _fetch_or_update(series: str, folder: Path) -> None:
    try:
        _fetch(series, folder)
    except MachineError:
        # The lists may be old, or there may be none yet; only root can fetch them.
        if os.geteuid() != 0:
            raise
        _run(["apt-get", "-qq", "update"], Path("/"), "apt's lists of packages")
        _fetch(series, folder)


def _fetch(series: str, folder: Path) -> None:
    """Download the newest package of a series; keep its kernel and some modules in a folder."""
    package = _newest(series)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as work:
        _run(["apt-get", "-q", "download", package], Path(work), f"package {package}")
        [archive] = Path(work).glob("*.deb")
        unpacked = Path(work) / "unpacked"
        _run(["dpkg", "-x", str(archive), str(unpacked)], Path(work), f"package {package}")
        _keep_modules(unpacked / "lib/modules", unpacked / "boot" / _MODULES_FOLDER)
        # Whoever boots just now finds the old one or the new one.
        if folder.exists():
            folder.rename(Path(work) / "old")
        (unpacked / "boot").rename(folder)


def _is_complete(folder: Path) -> bool:
    """Whether the modules there are those that guests load now."""
    try:
        return (folder / _MODULES_FOLDER / _LOOKED_FOR).read_text().split() == list(MODULES)
    except OSError:
        return False


def _keep_modules(found: Path, kept: Path) -> None:
    """Copy the modules that guests load, unpacked, for busybox's insmod reads no xz."""
    kept.mkdir()
    (kept / _LOOKED_FOR).write_text("".join(f"{name}\n" for name in MODULES))
    for name in MODULES:
        for file in found.rglob(f"{name}.ko*"):
            data = file.read_bytes()
            plain = lzma.decompress(data) if file.suffix == ".xz" else data
            (kept / f"{name}.ko").write_bytes(plain)


def _kernel(series: str, folder: Path) -> LabKernel | None:
    images = sorted(folder.glob("vmlinuz-*")) if folder.is_dir() else []
    if not images:
        return None
    modules = (folder / _MODULES_FOLDER / f"{name}.ko" for name in MODULES)
    return LabKernel(
        series=series, image=images[0], modules=tuple(file for file in modules if file.is_file())
    )


def _cache() -> Path:
    given = os.environ.get(CACHE_VARIABLE)
    if given:
        return Path(given)
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(home).expanduser() / "memhp" / "kernels"


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
