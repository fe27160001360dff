"""Files of the served tree that are open."""

from dataclasses import dataclass
from itertools import count
from threading import Lock

from memhp.model.tree.entries import File


@dataclass(slots=True, kw_only=True)
class OpenFile:
    """An open file: its entry, and the content as it was last read from its start.

    ``gone`` once what it belongs to was removed; a new thing of the same name is
    another.
    """

    path: str
    file: File
    content: bytes | None = None
    gone: bool = False


class OpenFiles:
    """Open files by number; may be used from any thread."""

    def __init__(self) -> None:
        self._files: dict[int, OpenFile] = {}
        self._numbers = count(1)
        self._lock = Lock()

    def add(self, handle: OpenFile) -> int:
        """Give an open file a number."""
        number = next(self._numbers)
        with self._lock:
            self._files[number] = handle
        return number

    def __getitem__(self, number: int) -> OpenFile:
        return self._files[number]

    def drop(self, number: int) -> None:
        """Forget a file that was closed."""
        with self._lock:
            self._files.pop(number, None)

    def lose(self, folder: str) -> None:
        """Mark what is open below a folder that was removed."""
        with self._lock:
            for handle in self._files.values():
                handle.gone |= handle.path.startswith(f"{folder}/")
