"""The kernel's page structures, read through ``/proc/kcore``: reference counts and mappings.

``/proc/kpageflags`` shows neither pins nor whether a plain page is free on a
per-CPU list. The structures do, and where they lie and how they are laid out
is told by the kernel itself, in the ``VMCOREINFO`` note
(``Documentation/admin-guide/kdump/vmcoreinfo.rst``). Needs root and a kernel
that is not locked down; only reads.
"""

import os
import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from memhp.core.geometry import PAGE_SHIFT, PAGE_SIZE_BYTES, round_down
from memhp.machines.linux.root import Root

_FILE: Final = "proc/kcore"
_HEADER_BYTES: Final = 64
_PROGRAM_HEADER: Final = struct.Struct("<IIQQQQQQ")
_LOAD: Final = 1
_NOTE: Final = 4
_MOST_HEADERS: Final = 1 << 14
_MOST_NOTE_BYTES: Final = 1 << 20
_NO_ADDRESS: Final = (1 << 64) - 1
_FACT: Final = re.compile(rb"^(?:SIZE|OFFSET|SYMBOL)\(([a-z_.]+)\)=([0-9a-f]+)$", re.MULTILINE)
_FIELDS: Final = {"_refcount": "<i4", "_mapcount": "<i4", "mapping": "<u8"}

Structs = npt.NDArray[np.void]
"""An element a page, with the fields ``_refcount``, ``_mapcount`` and ``mapping``."""


class Segment(NamedTuple):
    """A piece of the kernel's address space in the file; ``physical`` is ``None`` for no RAM."""

    address: int
    size_bytes: int
    offset: int
    physical: int | None


class PageStructs:
    """The file, open, and where in it the page structures are."""

    def __init__(self, handle: int, layout: "Layout", segments: Sequence[Segment]) -> None:
        self._handle = handle
        self._layout = layout
        self._segments = segments

    def read(self, first_pfn: int, nr_pages: int) -> Structs | None:
        """Read the structures of some pages; ``None`` where they cannot be read."""
        size = self._layout.dtype.itemsize
        start = self._layout.base + first_pfn * size
        found = self._bytes(start, nr_pages * size)
        return None if found is None else np.frombuffer(found, self._layout.dtype)

    def close(self) -> None:
        """Close the file."""
        os.close(self._handle)

    def _bytes(self, address: int, size_bytes: int) -> bytes | None:
        pieces = []
        while size_bytes > 0:
            segment = self._segment_of(address)
            if segment is None:
                return None
            inside = address - segment.address
            wanted = min(size_bytes, segment.size_bytes - inside)
            try:
                piece = os.pread(self._handle, wanted, segment.offset + inside)
            except OSError:
                return None
            if not piece:
                return None
            pieces.append(piece)
            address += len(piece)
            size_bytes -= len(piece)
        return b"".join(pieces)

    def _segment_of(self, address: int) -> Segment | None:
        for segment in self._segments:
            if segment.address <= address < segment.address + segment.size_bytes:
                return segment
        return None


class Layout(NamedTuple):
    """Where the structure of page 0 would be, and how a structure is laid out."""

    base: int
    dtype: "np.dtype[np.void]"


def open_page_structs(root: Root) -> PageStructs | None:
    """Open them; ``None`` where the kernel shows them to nobody, or not to us."""
    try:
        handle = os.open(root.path(_FILE), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    found = None
    with suppress(OSError, struct.error, ValueError, KeyError):
        found = _opened(handle)
    if found is None:
        os.close(handle)
    return found


def _opened(handle: int) -> PageStructs | None:
    headers = list(_headers(handle))
    note = next((h for h in headers if h[0] == _NOTE), None)
    segments = [
        Segment(address, size, offset, None if physical == _NO_ADDRESS else physical)
        for kind, _, offset, address, physical, size, _, _ in headers
        if kind == _LOAD
    ]
    if note is None:
        return None
    facts = _facts(os.pread(handle, min(note[5], _MOST_NOTE_BYTES), note[2]))
    layout = layout_of(facts, segments)
    return None if layout is None else PageStructs(handle, layout, segments)


def _headers(handle: int) -> Iterator[tuple[int, ...]]:
    """The program headers of the ELF file."""
    header = os.pread(handle, _HEADER_BYTES, 0)
    if header[:4] != b"\x7fELF":
        return
    (where,) = struct.unpack_from("<Q", header, 32)
    (count,) = struct.unpack_from("<H", header, 56)
    table = os.pread(handle, min(count, _MOST_HEADERS) * _PROGRAM_HEADER.size, where)
    yield from _PROGRAM_HEADER.iter_unpack(table[: len(table) // 56 * 56])


def _facts(note: bytes) -> dict[str, bytes]:
    return {match[1].decode(): match[2] for match in _FACT.finditer(note)}


def layout_of(facts: Mapping[str, bytes], segments: Sequence[Segment]) -> Layout | None:
    """Work the layout out; raises ``KeyError`` or ``ValueError`` where a fact is missing."""
    size = int(facts["page"])
    offsets = [int(facts[f"page.{name}"]) for name in _FIELDS]
    dtype = np.dtype(
        {
            "names": list(_FIELDS),
            "formats": list(_FIELDS.values()),
            "offsets": offsets,
            "itemsize": size,
        }
    )
    base = int(facts["vmemmap"], 16) if "vmemmap" in facts else _base(segments, size)
    return None if base is None else Layout(base, dtype)


def _base(segments: Sequence[Segment], size: int) -> int | None:
    """Older kernels do not name it; the file has each range's structures behind the range.

    Source: ``get_sparsemem_vmemmap_info()``.
    """
    for ram, behind in pairwise(segments):
        if ram.physical is not None and behind.physical is None and _is_ram(ram):
            return behind.address - round_down((ram.physical >> PAGE_SHIFT) * size, PAGE_SIZE_BYTES)
    return None


def _is_ram(segment: Segment) -> bool:
    """The direct map keeps the distance of an address from its physical one a multiple of 1 GiB.

    Kernel text has a physical address too, in the last 2 GiB of the address space.
    """
    return segment.address < (1 << 64) - (2 << 30)
