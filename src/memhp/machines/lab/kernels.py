"""Kernels for the lab: Debian's images, unpacked into a cache and never installed.

A guest gets the cloud image, which is small, unless it shares its host's root:
only the full image has modules for that. A kernel of one's own is named by its
path.
"""

import fcntl
import hashlib
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from memhp.core.errors import MachineError
from memhp.machines.lab.image_release import image_release
from memhp.machines.lab.modules import keep_modules, read_chains

CACHE_VARIABLE = "MEMHP_LAB_CACHE"
_NAMES = {
    "6.12": r"^linux-image-6\.12\.[0-9]+\+deb12%s-amd64(-unsigned)?$",
    "6.1": r"^linux-image-6\.1\.0-[0-9]+%s-amd64(-unsigned)?$",
}
"""The packages of a series, between flavours."""
KERNELS = tuple(_NAMES)
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
"""What every guest loads, in this order; a kernel that has one built in has no such file."""
SHARING: Final = ("9pnet_virtio", "9p", "overlay")
"""What a guest loads besides to see its host's root."""
SPARE: Final = ("hwpoison-inject", "zram", "virtio_balloon", "device_dax", "kmem", "dax_hmem")
"""What a guest has and does not load by itself."""
_MODULES_FOLDER = "modules"
_NOTHING: Mapping[str, tuple[Path, ...]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class LabKernel:
    """A kernel image and its modules.

    ``modules`` are those that guests load, in the order of loading; ``spare``
    has, by name, what is to be loaded for one that a guest only has.
    """

    series: str
    image: Path
    modules: tuple[Path, ...]
    spare: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)

    def config(self) -> Mapping[str, str]:
        """What it was built with, ``CONFIG_X`` by name; empty where that is not beside it."""
        file = self.image.with_name(self.image.name.replace("vmlinuz", "config", 1))
        if not file.is_file():
            return {}
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
        pairs = (line.partition("=") for line in lines if line.startswith("CONFIG_"))
        return {name: value.strip('"') for name, _, value in pairs}


def find_kernel(name: str, *, shares_root: bool = False) -> LabKernel:
    """The kernel of a series, downloaded where it is not in the cache yet, or of a path.

    A kernel that somebody put there without modules is taken where no package
    can be had. Raises ``MachineError`` where there is none.
    """
    if name not in KERNELS:
        return _kernel_at(name, shares_root=shares_root)
    folder = _cache() / (f"{name}-full" if shares_root else name)
    wanted = _wanted(shares_root)
    if not _is_complete(folder, wanted):
        pattern = _NAMES[name] % ("" if shares_root else "-cloud")
        with _one_at_a_time(folder):
            _complete(pattern, folder, wanted)
    found = _kernel(name, folder)
    if found is None:
        raise _missing(f"the package for {name} holds no kernel")
    return found


def _complete(pattern: str, folder: Path, wanted: Sequence[str]) -> None:
    """Fetch what is missing; what is there is left where nothing can be had."""
    if _is_complete(folder, wanted):
        # Another process has fetched it meanwhile.
        return
    try:
        _fetch_or_update(pattern, folder, wanted)
    except MachineError:
        if not any(folder.glob("vmlinuz-*")):
            raise


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Keep other processes from fetching the same; ends with this process."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f".{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _wanted(shares_root: bool) -> tuple[str, ...]:  # noqa: FBT001
    return (*MODULES, *(SHARING if shares_root else ()), *SPARE)


def _kernel_at(name: str, *, shares_root: bool) -> LabKernel:
    """A kernel of one's own; its modules lie where it was installed from, if anywhere."""
    image = Path(name).absolute()
    release = image_release(image)
    places = (image.parent.parent / "lib/modules" / release, Path("/lib/modules") / release)
    found = next((place for place in places if place.is_dir()), places[0])
    return _with_modules(name, image, _kept_by_content(found, release, _wanted(shares_root)))


def _kept_by_content(found: Path, release: str, wanted: Sequence[str]) -> Path:
    """A folder named for what the modules are, for a kernel is built again under one release."""
    _cache().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=_cache()) as work:
        new = Path(work) / "new"
        new.mkdir()
        keep_modules(found, new / _MODULES_FOLDER, wanted)
        digest = hashlib.sha256()
        for file in sorted((new / _MODULES_FOLDER).iterdir()):
            digest.update(file.name.encode() + file.read_bytes())
        folder = _cache() / f"of-{release}-{digest.hexdigest()[:12]}"
        if not folder.exists():
            new.rename(folder)
    return folder


def _fetch_or_update(pattern: str, folder: Path, wanted: Sequence[str]) -> None:
    try:
        _fetch(pattern, folder, wanted)
    except MachineError:
        # The lists may be old, or there may be none yet; only root can fetch them.
        if os.geteuid() != 0:
            raise
        _run(["apt-get", "-qq", "update"], Path("/"), "apt's lists of packages")
        _fetch(pattern, folder, wanted)


def _fetch(pattern: str, folder: Path, wanted: Sequence[str]) -> None:
    """Download the newest package of a name; keep its kernel and some modules in a folder."""
    package = _newest(pattern)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as work:
        _run(["apt-get", "-q", "download", package], Path(work), f"package {package}")
        [archive] = Path(work).glob("*.deb")
        unpacked = Path(work) / "unpacked"
        _run(["dpkg", "-x", str(archive), str(unpacked)], Path(work), f"package {package}")
        keep_modules(unpacked / "lib/modules", unpacked / "boot" / _MODULES_FOLDER, wanted)
        # Whoever boots just now finds the old one or the new one.
        if folder.exists():
            folder.rename(Path(work) / "old")
        (unpacked / "boot").rename(folder)


def _is_complete(folder: Path, wanted: Sequence[str]) -> bool:
    """Whether the modules there are those that guests get now; older caches lack newer ones."""
    chains = read_chains(folder / _MODULES_FOLDER)
    return chains is not None and list(chains) == list(wanted)


def _kernel(series: str, folder: Path) -> LabKernel | None:
    images = sorted(folder.glob("vmlinuz-*")) if folder.is_dir() else []
    return _with_modules(series, images[0], folder) if images else None


def _with_modules(series: str, image: Path, folder: Path) -> LabKernel:
    chains = read_chains(folder / _MODULES_FOLDER) or _NOTHING
    loaded = (file for name, chain in chains.items() if name not in SPARE for file in chain)
    return LabKernel(
        series=series,
        image=image,
        modules=tuple(dict.fromkeys(loaded)),
        spare={name: chain for name, chain in chains.items() if name in SPARE and chain},
    )


def _cache() -> Path:
    given = os.environ.get(CACHE_VARIABLE)
    if given:
        return Path(given)
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(home).expanduser() / "memhp" / "kernels"


def _newest(pattern: str) -> str:
    """The newest package of such a name that apt knows."""
    command = ["apt-cache", "search", "--names-only", pattern]
    names = [line.split()[0] for line in _run(command, Path("/"), "apt-cache").splitlines()]
    # Signed and unsigned images hold the same kernel; which of them there is varies.
    if not names:
        raise _missing(f"apt knows no package like {pattern}")
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
