"""Predictions and attempts on disk: a line of JSON each, appended, the oldest forgotten.

A line that cannot be read is passed over: a power cut may have left a piece of
one, and nothing but a statistic rests on it.
"""

import fcntl
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from memhp.core.errors import FormatError, JournalError
from memhp.core.values_json import from_json, parse_json, to_json
from memhp.operations.prediction_records import PredictionRecord

_FILE_NAME: Final = "predictions.jsonl"
_MOST_BYTES: Final = 4 << 20
"""About 15,000 predictions; then the older half is forgotten."""


class PredictionStore:
    """The records below a state folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / _FILE_NAME

    def records(self) -> tuple[PredictionRecord, ...]:
        """Everything kept, the oldest first; raises ``JournalError``."""
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return ()
        except OSError as err:
            raise self._unusable("be read", err) from err
        return tuple(_parsed(data))

    def append(self, records: Iterable[PredictionRecord]) -> None:
        """Keep more; raises ``JournalError`` where they cannot be written."""
        lines = "".join(json.dumps(to_json(record)) + "\n" for record in records).encode()
        if not lines:
            return
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._locked() as handle:
                self._shorten(handle)
                os.write(handle, lines)
        except OSError as err:
            raise self._unusable("be written", err) from err

    @contextmanager
    def _locked(self) -> Iterator[int]:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        handle = os.open(self._path, flags, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield handle
        finally:
            os.close(handle)

    def _shorten(self, handle: int) -> None:
        """Forget the older half of a file that has grown too long; whole lines, at least."""
        size = os.fstat(handle).st_size
        if size < _MOST_BYTES:
            return
        rest = os.pread(handle, size, size // 2)
        os.ftruncate(handle, 0)
        os.write(handle, rest.partition(b"\n")[2])

    def _unusable(self, what: str, err: OSError) -> JournalError:
        return JournalError(
            operation=str(self._path),
            problem=f"cannot {what} ({err.strerror})",
            advice="set MEMHP_STATE_DIR to a folder of yours",
        )


def _parsed(data: bytes) -> Iterator[PredictionRecord]:
    for line in data.splitlines():
        try:
            record: PredictionRecord = from_json(PredictionRecord, parse_json(line))
        except (ValueError, FormatError):
            continue
        yield record
