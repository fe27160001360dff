"""The pages of a machine in its state file: blobs, of which those that changed are written."""

import sqlite3
import zlib

from memhp.model.codec import CodecError
from memhp.model.kernel import Kernel


def read_pages(connection: sqlite3.Connection, part: str, kernel: Kernel) -> None:
    """Give a kernel the pages that were saved with it, if any; raises ``CodecError``."""
    rows = connection.execute(
        "SELECT name, value, crc FROM pages WHERE part = ?", (part,)
    ).fetchall()
    if not rows:
        return
    for name, value, crc in rows:
        if not isinstance(value, bytes) or zlib.crc32(value) != crc:
            raise CodecError(f"the pages '{name}' are not what was written")
    # numpy takes longer to load than most commands to run.
    from memhp.model.pages.save import decode_pages  # noqa: PLC0415

    kernel.pages = decode_pages(kernel, {name: value for name, value, _ in rows})


def save_pages(connection: sqlite3.Connection, part: str, kernel: Kernel) -> None:
    """Write the blobs that are not what they were, and drop those of sections that went."""
    if kernel.pages is None:
        connection.execute("DELETE FROM pages WHERE part = ?", (part,))
        return
    before = dict(connection.execute("SELECT name, crc FROM pages WHERE part = ?", (part,)))
    from memhp.model.pages.save import encode_pages  # noqa: PLC0415

    for name, value in encode_pages(kernel):
        crc = zlib.crc32(value)
        if before.pop(name, None) != crc:
            row = (part, name, value, crc)
            connection.execute("INSERT OR REPLACE INTO pages VALUES (?, ?, ?, ?)", row)
    gone = [(part, name) for name in before]
    connection.executemany("DELETE FROM pages WHERE part = ? AND name = ?", gone)
