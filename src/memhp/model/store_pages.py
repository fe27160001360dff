"""The pages of a machine in its state file: blobs, of which those that changed are written.

They are read with the machine and decoded when somebody asks for a page: most
commands never do.
"""

import sqlite3
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from memhp.model.codec import CodecError
from memhp.model.kernel import Kernel, PageLevel
from memhp.model.store_database import judged


class SavedPages:
    """Pages as they were saved; whatever is asked of them, they become real first.

    Asking may raise ``StateFileError``.
    """

    def __init__(self, path: Path, kernel: Kernel, blobs: Mapping[str, bytes]) -> None:
        self._path = path
        self._kernel = kernel
        self._blobs = blobs

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real(), name)

    def real(self) -> PageLevel:
        """Decode the pages; from then on their kernel has them."""
        # numpy takes longer to load than most commands to run.
        from memhp.model.pages.save import decode_pages  # noqa: PLC0415

        with judged(self._path):
            pages = decode_pages(self._kernel, self._blobs)
        self._kernel.pages = pages
        return pages


def read_pages(connection: sqlite3.Connection, path: Path, part: str, kernel: Kernel) -> None:
    """Give a kernel the pages that were saved with it, if any; raises ``CodecError``."""
    rows = connection.execute(
        "SELECT name, value, crc FROM pages WHERE part = ?", (part,)
    ).fetchall()
    for name, value, crc in rows:
        if not isinstance(value, bytes) or zlib.crc32(value) != crc:
            raise CodecError(f"the pages '{name}' are not what was written")
    if rows:
        blobs = {name: value for name, value, _ in rows}
        kernel.pages = cast(PageLevel, SavedPages(path, kernel, blobs))


def save_pages(connection: sqlite3.Connection, part: str, kernel: Kernel) -> None:
    """Write the blobs that are not what they were, and drop those of sections that went."""
    if kernel.pages is None:
        connection.execute("DELETE FROM pages WHERE part = ?", (part,))
        return
    if isinstance(kernel.pages, SavedPages):
        return
    from memhp.model.pages.save import encode_pages  # noqa: PLC0415

    before = dict(connection.execute("SELECT name, crc FROM pages WHERE part = ?", (part,)))
    for name, value in encode_pages(kernel):
        crc = zlib.crc32(value)
        if before.pop(name, None) != crc:
            row = (part, name, value, crc)
            connection.execute("INSERT OR REPLACE INTO pages VALUES (?, ?, ?, ?)", row)
    gone = [(part, name) for name in before]
    connection.executemany("DELETE FROM pages WHERE part = ? AND name = ?", gone)
