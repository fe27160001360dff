"""Kernel modules for guests: copied out of a package with all that they depend on.

A folder of them has the modules, unpacked (busybox's insmod reads no archives),
and ``chains``: for each module that was wanted a line with what is to be loaded
for it, in order. What the kernel has built in has an empty line.
"""

import lzma
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from memhp.core.errors import MachineError

_CHAINS = "chains"
_DEPENDS = re.compile(rb"\0depends=([^\0]*)\0")
"""The entry of a module's ``.modinfo`` that ``modpost`` writes."""
_FILE = re.compile(r"\.ko(\.xz|\.zst)?$")


def keep_modules(found: Path, kept: Path, wanted: Sequence[str]) -> None:
    """Copy the wanted modules below a folder ``lib/modules``, and what they need, to another."""
    kept.mkdir()
    files = {_plain(_FILE.sub("", file.name)): file for file in _modules_below(found)}
    data: dict[str, bytes] = {}
    lines = [f"{name}: {' '.join(_chain(name, files, data))}".strip() for name in wanted]
    for name, content in data.items():
        (kept / f"{name}.ko").write_bytes(content)
    (kept / _CHAINS).write_text("".join(f"{line}\n" for line in lines))


def read_chains(kept: Path) -> Mapping[str, tuple[Path, ...]] | None:
    """What is to be loaded for each module that was wanted; ``None`` where nothing was kept."""
    try:
        lines = (kept / _CHAINS).read_text().splitlines()
    except OSError:
        return None
    pairs = (line.partition(":") for line in lines)
    return {name: tuple(kept / f"{part}.ko" for part in rest.split()) for name, _, rest in pairs}


def _modules_below(found: Path) -> Iterator[Path]:
    return (file for file in found.rglob("*.ko*") if _FILE.search(file.name))


def _chain(name: str, files: Mapping[str, Path], data: dict[str, bytes]) -> Iterator[str]:
    """The names to load, prerequisites first; each by the name of its file."""
    file = files.get(_plain(name))
    if file is None:
        return
    own = _FILE.sub("", file.name)
    if own not in data:
        data[own] = _unpacked(file)
    done: list[str] = []
    for needed in _needed(data[own]):
        for part in _chain(needed, files, data):
            if part not in done:
                done.append(part)
                yield part
    yield own


def _needed(module: bytes) -> list[str]:
    match = _DEPENDS.search(module)
    return match[1].decode().split(",") if match and match[1] else []


def _plain(name: str) -> str:
    """The module's name: its file may be spelled with dashes."""
    return name.replace("-", "_")


def _unpacked(file: Path) -> bytes:
    match file.suffix:
        case ".xz":
            return lzma.decompress(file.read_bytes())
        case ".zst":
            return _without_zstd(file)
    return file.read_bytes()


def _without_zstd(file: Path) -> bytes:
    if shutil.which("zstd") is None:
        raise MachineError(
            machine="lab:",
            problem=f"cannot unpack the module {file}",
            advice="install package zstd",
        )
    done = subprocess.run(["zstd", "-dcq", str(file)], capture_output=True, check=True)
    return done.stdout
