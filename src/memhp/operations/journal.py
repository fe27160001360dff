"""The journal of an operation: a file to which a line is added before and after every step.

Each line is on disk (``fdatasync``) before anything goes on, so that a process
killed anywhere leaves a file from which somebody can go on or go back. A line
that a kill has cut is as if it had not been begun.
"""

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Self

from memhp.core.errors import JournalError
from memhp.core.events import (
    Event,
    OperationEnded,
    PlanStarted,
    RunStarted,
    StepEnded,
    StepStarted,
)
from memhp.core.values_json import ValueFormatError, from_json, parse_json, to_json
from memhp.core.words import Ending, ExitCode
from memhp.operations.journal_records import (
    VERSION,
    Begun,
    Ended,
    Finished,
    Intended,
    Record,
    Story,
    story_of,
)

_SUFFIX = ".journal"
_ADVICE = "nothing further was done"
_FINISHED = b'{"type":"Finished"'
_TAIL_BYTES = 512
_OPEN = frozenset({Ending.UNKNOWN, Ending.WAITING})
"""How an operation ends that somebody will go on with."""
Now = Callable[[], str]


class Journals:
    """The folder of all journals; an operation is named by its number."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def begin(self, begun: Begun, first: Record) -> "Journal":
        """Begin the journal of a new operation with its first leg, which go to disk together.

        Raises ``JournalError``, and then there is no journal.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            while True:
                number = max(map(int, self.names()), default=0) + 1
                try:
                    handle = os.open(
                        self._path(str(number)), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600
                    )
                except FileExistsError:
                    continue
                break
            _sync_folder(self.folder)
        except OSError as err:
            raise _unwritable(self.folder, err) from err
        journal = Journal(str(number), self._path(str(number)), handle)
        try:
            journal.add(begun, first)
        except JournalError:
            journal.close()
            self._path(str(number)).unlink(missing_ok=True)
            raise
        return journal

    def names(self) -> list[str]:
        """The operations of which there is a journal, the oldest first."""
        try:
            found = [path.stem for path in self.folder.iterdir() if path.suffix == _SUFFIX]
        except FileNotFoundError:
            return []
        return sorted((name for name in found if name.isdecimal()), key=int)

    def read(self, name: str) -> Story:
        """Read an operation's story; raises ``JournalError``."""
        try:
            data = self._path(name).read_bytes()
        except OSError as err:
            raise JournalError(
                operation=f"operation {name}",
                problem=f"has no journal that can be read ({err.strerror})",
                advice="'memhp log' shows those that there are",
                exit_code=ExitCode.USAGE,
            ) from err
        try:
            _check_version(name, data)
            return story_of(map(_record, _whole_lines(data)))
        except (ValueError, ValueFormatError) as err:
            raise JournalError(
                operation=f"operation {name}",
                problem=f"has a damaged journal, {self._path(name)} ({err})",
                advice="look at the machine itself to see how it stands",
            ) from err

    def open_ones(self) -> list[str]:
        """The operations that have not ended, without reading the others wholly."""
        return [name for name in self.names() if not _is_finished(self._path(name))]

    def reopen(self, name: str) -> "Journal":
        """Open a journal to go on; a line that a kill has cut is taken away."""
        path = self._path(name)
        try:
            whole = sum(map(len, _whole_lines(path.read_bytes(), keep_ends=True)))
            handle = os.open(path, os.O_WRONLY | os.O_APPEND)
            os.ftruncate(handle, whole)
        except OSError as err:
            raise _unwritable(path, err) from err
        return Journal(name, path, handle)

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}{_SUFFIX}"


class Journal:
    """The journal of one operation, open to add to. Close it, or use it in ``with``."""

    def __init__(self, name: str, path: Path, handle: int) -> None:
        self.name = name
        self._path = path
        self._handle = handle
        self._noted_before = 0
        """Steps of the leg below this index have had their intents noted with those of a run."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_problem: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._handle)

    def add(self, *records: Record) -> None:
        """Put records on disk; raises ``JournalError``, and then they are not there."""
        line = "".join(
            f"{json.dumps(to_json(record), separators=(',', ':'))}\n" for record in records
        ).encode()
        try:
            before = os.lseek(self._handle, 0, os.SEEK_END)
            written = os.write(self._handle, line)
            if written == len(line):
                os.fdatasync(self._handle)
                return
            os.ftruncate(self._handle, before)
        except OSError as err:
            raise _unwritable(self._path, err) from err
        raise _unwritable(self._path, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))

    def listen(self, now: Now) -> Callable[[Event], None]:
        """Make the listener that notes intents, outcomes and the end."""

        def listener(event: Event) -> None:
            match event:
                case PlanStarted():
                    self._noted_before = 0
                case RunStarted(first=first, count=count):
                    self._noted_before = first + count
                    self.add(*(Intended(index=first + n) for n in range(count)))
                case StepStarted(index=index) if index >= self._noted_before:
                    self.add(Intended(index=index))
                case StepEnded(index=index, outcome=outcome, found=found):
                    self.add(Ended(index=index, outcome=outcome, found=found))
                case OperationEnded(ending=ending) if ending not in _OPEN:
                    self.add(Finished(ending=ending, time=now()))
                case _:
                    pass

        return listener


def _check_version(name: str, data: bytes) -> None:
    """Raise ``JournalError`` for a journal of another version of memhp."""
    first = parse_json(data.partition(b"\n")[0] or b"null")
    version = first.get("version", VERSION) if isinstance(first, dict) else VERSION
    if version != VERSION:
        raise JournalError(
            operation=f"operation {name}",
            problem=f"has a journal of version {version}; this memhp knows version {VERSION}",
            advice="use the memhp that made it",
        )


def _record(line: bytes) -> Record:
    record: Record = from_json(Record, parse_json(line))
    return record


def _whole_lines(data: bytes, *, keep_ends: bool = False) -> list[bytes]:
    """The lines that were written to their end."""
    lines = data.splitlines(keepends=True)
    whole = lines if not lines or lines[-1].endswith(b"\n") else lines[:-1]
    return whole if keep_ends else [line.rstrip(b"\n") for line in whole]


def _is_finished(path: Path) -> bool:
    """Whether the last line that was written to its end says so."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            lines = _whole_lines(file.read())
    except OSError:
        return False
    return bool(lines) and lines[-1].startswith(_FINISHED)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _unwritable(path: Path, err: OSError) -> JournalError:
    return JournalError(
        operation="the journal",
        problem=f"{path} cannot be written ({err.strerror})",
        advice=_ADVICE,
    )
