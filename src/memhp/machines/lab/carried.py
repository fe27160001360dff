"""Programs of this host that a guest gets in its initrd, with the libraries that they load."""

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from memhp.core.errors import MachineError

_ELF = b"\x7fELF"
_LOADED = re.compile(r"\s(?:\S+ => )?(/\S+) \(0x[0-9a-f]+\)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """What a guest gets besides its busybox.

    ``programs`` are names on this host's PATH or absolute paths; each stands in
    the guest where it stands here. ``files`` are contents by absolute path in the
    guest, of which some may be run.
    """

    programs: tuple[str, ...] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)
    executable: frozenset[str] = frozenset()


def put_carried(carried: Carried, root: Path) -> None:
    """Put everything below an initrd's root; raises ``MachineError`` for what is not there."""
    for program in carried.programs:
        found = _found(program)
        _copy(found, root, found)
        for library in _libraries(found):
            _copy(library, root, library)
    for name, content in carried.files.items():
        target = _below(root, Path(name))
        target.write_bytes(content)
        if name in carried.executable:
            target.chmod(0o755)


def _found(program: str) -> Path:
    path = shutil.which(program)
    if path is None:
        raise MachineError(
            machine="lab:",
            problem=f"cannot give a guest the program {program}",
            advice="it is not installed here",
        )
    # One that was named from the current folder is found by that name.
    return Path(path).absolute()


def _libraries(program: Path) -> Iterator[Path]:
    """The files that the loader maps for a program, itself included; none for a script."""
    with program.open("rb") as file:
        if file.read(len(_ELF)) != _ELF:
            return
    # A static program is no dynamic one to ldd, which then fails.
    done = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=False)
    yield from (Path(name) for name in _LOADED.findall(done.stdout))


def _copy(source: Path, root: Path, place: Path) -> None:
    """Copy a file's content, for what it may link to here is not there."""
    target = _below(root, place)
    if not target.exists():
        shutil.copy(source, target)


def _below(root: Path, place: Path) -> Path:
    """Where an absolute path lies in the initrd, with its folder made."""
    target = root / PurePosixPath(place).relative_to("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_symlink():
        # A busybox applet gives way to the real program.
        target.unlink()
    return target
