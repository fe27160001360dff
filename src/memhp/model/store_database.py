"""The SQLite database of a state file: its tables, and how it is opened and judged.

The journal is SQLite's rollback journal and not the write-ahead log: a machine
is then one file that can be copied or sent whenever nobody writes, it works on
network file systems, and a change is written so rarely that a WAL's speed
would buy nothing. ``synchronous=EXTRA`` puts every change on disk before a
command says that it is done, and the end of its journal too (``FULL`` does
not: after a power cut the journal might be back, and undo the change).
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from memhp.core.errors import MachineLocked, NoSuchMachine, StateFileError
from memhp.model.codec import CodecError
from memhp.model.store_holder import tell_holder

VERSION: Final = 2
_APPLICATION_ID: Final = int.from_bytes(b"mhpm", "big")
_SCHEMA: Final = """
CREATE TABLE description (file TEXT NOT NULL, text TEXT NOT NULL, crc INTEGER NOT NULL);
-- part is '' for the machine itself and a guest's name for a guest
CREATE TABLE machine (
    part TEXT PRIMARY KEY, uuid TEXT NOT NULL, boots INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE state (
    part TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, crc INTEGER NOT NULL,
    PRIMARY KEY (part, name)
) WITHOUT ROWID;
-- what touched pages hold: see memhp.model.pages.save
CREATE TABLE pages (
    part TEXT NOT NULL, name TEXT NOT NULL, value BLOB NOT NULL, crc INTEGER NOT NULL,
    PRIMARY KEY (part, name)
) WITHOUT ROWID;
CREATE TABLE log (
    number INTEGER PRIMARY KEY, time TEXT NOT NULL, part TEXT NOT NULL, asked TEXT NOT NULL,
    outcome TEXT NOT NULL, uevents TEXT NOT NULL, messages TEXT NOT NULL
);
"""
_NEW_ADVICE = "make one with 'memhp model new MACHINE FILE'"
_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_RIGHTS: Final = "look at the permissions of the file and of its folder"
_PROBLEMS: Final = {
    sqlite3.SQLITE_NOTADB: ("is no state file", _NEW_ADVICE),
    sqlite3.SQLITE_READONLY: ("cannot be written", _RIGHTS),
    sqlite3.SQLITE_CANTOPEN: ("cannot be opened", _RIGHTS),
    sqlite3.SQLITE_PERM: ("cannot be opened", _RIGHTS),
    sqlite3.SQLITE_FULL: ("cannot be written, for the disk is full", "make room on it"),
    sqlite3.SQLITE_IOERR: ("cannot be read or written", "look into the kernel's log"),
}


def create_database(path: Path) -> sqlite3.Connection:
    """Make an empty database at a path where nothing is."""
    connection = _connect(path, "rwc", 0)
    connection.execute("PRAGMA journal_mode=DELETE")
    connection.executescript(
        f"PRAGMA application_id={_APPLICATION_ID}; PRAGMA user_version={VERSION}; {_SCHEMA}"
    )
    return connection


def open_database(
    path: Path, wait_seconds: float, *, one_thread: bool = True
) -> sqlite3.Connection:
    """Open a state file; raises ``NoSuchMachine`` or ``StateFileError`` for what is none."""
    _check_file(path)
    with judged(path):
        connection = _connect(path, "rw", wait_seconds, one_thread=one_thread)
        try:
            _check_version(path, connection)
        except BaseException:
            connection.close()
            raise
    return connection


@contextmanager
def judged(path: Path) -> Iterator[None]:
    """Turn what SQLite and the decoder say into ``StateFileError`` and ``MachineLocked``."""
    try:
        yield
    except (CodecError, UnicodeDecodeError) as err:
        # SQLite quotes what it found in its message, and that may be any bytes.
        raise _damaged(path, str(err)) from err
    except sqlite3.Error as err:
        code = getattr(err, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
        if code in _BUSY:
            raise MachineLocked(
                machine=str(path),
                problem=f"is being changed by {tell_holder(path)}",
                advice="try again when that is done",
            ) from err
        if code in _PROBLEMS:
            problem, advice = _PROBLEMS[code]
            raise StateFileError(
                machine=str(path), problem=f"{problem} ({err})", advice=advice
            ) from err
        raise _damaged(path, str(err)) from err


def _connect(
    path: Path, mode: str, wait_seconds: float, *, one_thread: bool = True
) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=wait_seconds,
        check_same_thread=one_thread,
        isolation_level=None,
    )
    connection.execute("PRAGMA synchronous=EXTRA")
    connection.execute("PRAGMA cell_size_check=ON")
    connection.execute("PRAGMA trusted_schema=OFF")
    return connection


def _check_file(path: Path) -> None:
    """Say what a path is that no database can be at.

    The file itself is not opened here: closing it would drop the locks that
    this process has on it (POSIX locks).
    """
    try:
        if path.is_file():
            return
        exists = path.exists()
    except (OSError, ValueError) as err:
        raise StateFileError(
            machine=str(path), problem=f"cannot be opened ({_reason(err)})", advice=_RIGHTS
        ) from err
    if not exists:
        raise NoSuchMachine(machine=str(path), problem="does not exist", advice=_NEW_ADVICE)
    what = "a directory" if path.is_dir() else "no regular file"
    raise StateFileError(machine=str(path), problem=f"is {what}", advice="give a state file")


def _check_version(path: Path, connection: sqlite3.Connection) -> None:
    [application_id] = connection.execute("PRAGMA application_id").fetchone()
    [version] = connection.execute("PRAGMA user_version").fetchone()
    if application_id != _APPLICATION_ID:
        raise StateFileError(machine=str(path), problem="is no state file", advice=_NEW_ADVICE)
    if version != VERSION:
        raise StateFileError(
            machine=str(path),
            problem=f"is a state file of version {version}; this memhp knows version {VERSION}",
            advice=f"use the memhp that made it, or {_NEW_ADVICE}",
        )


def _damaged(path: Path, detail: str) -> StateFileError:
    return StateFileError(machine=str(path), problem=f"is damaged ({detail})", advice=_NEW_ADVICE)


def _reason(err: OSError | ValueError) -> str:
    return getattr(err, "strerror", None) or str(err)
