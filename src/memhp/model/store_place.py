"""Where a new state file goes: it is built beside its place, and put there when it is whole.

A process that is killed on the way leaves at most files of a name that nobody
opens; the next one that makes a machine in that folder takes them away.
"""

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from uuid import uuid4

from memhp.core.errors import StateFileError

_STEM: Final = ".memhp-"
_NEW: Final = ".new"
_JOURNAL: Final = "-journal"
_DESCRIPTION: Final = ".toml"
_NO_LINKS: Final = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


@contextmanager
def built_beside(target: Path) -> Iterator[Path]:
    """Give an empty file to fill; it becomes ``target`` when the block ends.

    Raises ``StateFileError`` where that cannot be. Whatever is raised, nothing
    is at ``target`` then that was not there before.
    """
    try:
        _check(target)
        _clear(target.parent)
        new = target.with_name(f"{_STEM}{os.getpid()}-{uuid4().hex[:8]}{_NEW}")
        try:
            new.touch(exist_ok=False)
            yield new
            _put_in_place(new, target)
        finally:
            _remove(new)
    except FileExistsError as err:
        raise _exists(target) from err
    except OSError as err:
        raise _cannot(target, err.strerror or str(err)) from err
    except (sqlite3.Error, ValueError) as err:
        raise _cannot(target, str(err)) from err


def _check(target: Path) -> None:
    """Refuse what no machine could be opened at later, and what is there already."""
    if target.name.endswith(_DESCRIPTION):
        raise StateFileError(
            machine=str(target),
            problem="would be taken for a description",
            advice=f"give it another ending than {_DESCRIPTION}, as in rack1.machine",
        )
    if not target.name or os.path.lexists(target):
        raise _exists(target)
    # SQLite's journal stands beside the file and has the longer name.
    _beside(target, _JOURNAL).exists()
    if not target.parent.is_dir():
        raise StateFileError(
            machine=str(target),
            problem=f"cannot be made, for there is no folder {target.parent}",
            advice="make the folder first",
        )


def _put_in_place(new: Path, target: Path) -> None:
    """Give the whole file its name, unless something has that name by now."""
    if not os.path.lexists(target):
        # The journal of a machine that was killed and then removed by hand:
        # SQLite would roll it back into this one.
        _beside(target, _JOURNAL).unlink(missing_ok=True)
    try:
        os.link(new, target)
    except OSError as err:
        if err.errno not in _NO_LINKS:
            raise
        # A file system without links (FAT): here two makers might race.
        if os.path.lexists(target):
            raise _exists(target) from err
        new.rename(target)
    _sync(target.parent)


def _clear(folder: Path) -> None:
    """Take away what was left by those who no longer run."""
    for path in folder.glob(f"{_STEM}*{_NEW}*"):
        pid = path.name.removeprefix(_STEM).partition("-")[0]
        if pid.isdecimal() and not Path(f"/proc/{pid}").exists():
            path.unlink(missing_ok=True)


def _remove(new: Path) -> None:
    for path in (new, _beside(new, _JOURNAL)):
        path.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    """Put the new name on disk too."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _exists(target: Path) -> StateFileError:
    return StateFileError(machine=str(target), problem="exists already", advice="give another name")


def _cannot(target: Path, why: str) -> StateFileError:
    return StateFileError(
        machine=str(target),
        problem=f"cannot be made ({why})",
        advice="give a new name in a folder that you may write to",
    )
