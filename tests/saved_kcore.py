"""A file like ``/proc/kcore``, with the structures of some pages."""

import struct
from collections.abc import Iterable
from pathlib import Path

from memhp.machines.linux.root import Root

BASE = 0xFFFFEA0000000000
NOTE = b"""VMCOREINFO
SIZE(page)=64
OFFSET(page._refcount)=52
OFFSET(page.mapping)=24
OFFSET(page._mapcount)=48
"""


def save_kcore(tmp_path: Path, facts: bytes, structs: bytes) -> Root:
    """A file like ``/proc/kcore``: a note, a range of memory, and its page structures."""
    note_at, structs_at = 4096, 8192
    headers = [
        (4, 0, note_at, 0, 0, len(facts), 0, 0),
        (1, 0, 1 << 40, 0xFFFF888000000000, 0x1000, 1 << 20, 1 << 20, 4096),
        (1, 0, structs_at, BASE, (1 << 64) - 1, len(structs), len(structs), 4096),
    ]
    table = b"".join(struct.pack("<IIQQQQQQ", *header) for header in headers)
    start = b"\x7fELF" + bytes(28) + struct.pack("<Q", 64) + bytes(16) + struct.pack("<H", 3)
    data = (start.ljust(64, b"\0") + table).ljust(note_at, b"\0") + facts
    (tmp_path / "proc").mkdir(exist_ok=True)
    (tmp_path / "proc/kcore").write_bytes(data.ljust(structs_at, b"\0") + structs)
    return Root(str(tmp_path), f"linux:{tmp_path}")


def structs_of(pages: Iterable[tuple[int, int]]) -> bytes:
    """Structures of pages from frame 0 on, each as (references, mapping)."""
    return b"".join(
        bytes(24)
        + struct.pack("<Q", mapping)
        + bytes(16)
        + struct.pack("<ii", -1, references)
        + bytes(8)
        for references, mapping in pages
    )
