"""Decode pages of the kernel's trace ring buffer, as ``trace_pipe_raw`` hands them out.

Sources: ``Documentation/trace/ring-buffer-design.rst``, ``events/header_page``
and ``events/header_event`` of tracefs, ``rb_event_length()``. What an event
holds is told by its ``format`` file.
"""

import re
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from memhp.core.errors import FormatError

_HEADER: Final = struct.Struct("<QQ")
_WORD: Final = struct.Struct("<I")
_LENGTH_MASK: Final = (1 << 20) - 1
_MISSED: Final = 1 << 31
_TYPE_BITS: Final = 5
_PADDING, _TIME_EXTEND = 29, 30
_ID = re.compile(r"^ID: (\d+)$", re.MULTILINE)
_FIELD = re.compile(r"field:.*?(\w+);\s*offset:(\d+);\s*size:(\d+);\s*signed:([01]);")
_CODES: Final = {1: "B", 2: "H", 4: "I", 8: "Q"}


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFormat:
    """Where the fields of one kind of event lie in its data."""

    number: int
    fields: Mapping[str, tuple[int, int]]

    def unpacker(self, *names: str) -> struct.Struct:
        """What unpacks these fields, which have to lie in this order."""
        layout, at = "<", 0
        for name in names:
            offset, size = self.fields[name]
            layout += f"{offset - at}x{_CODES[size]}"
            at = offset + size
        return struct.Struct(layout)


def parse_format(text: str) -> EventFormat:
    """Read a ``format`` file of tracefs; raises ``FormatError``."""
    number = _ID.search(text)
    fields = {name: (int(at), int(size)) for name, at, size, _ in _FIELD.findall(text)}
    if number is None or not fields:
        raise FormatError("a format file of tracefs has no ID or no fields")
    return EventFormat(number=int(number[1]), fields=fields)


def raw_events(pages: Iterable[bytes]) -> Iterator[tuple[int, bytes, int]]:
    """Every event: its number, the page that it lies in, and where its data begin there.

    Raises ``FormatError`` where the kernel says that events were lost.
    """
    for page in pages:
        _, commit = _HEADER.unpack_from(page)
        if commit & _MISSED:
            raise FormatError("the trace lost events: give it a larger trace buffer")
        yield from _events_of(page, _HEADER.size + (commit & _LENGTH_MASK))


def _events_of(page: bytes, end: int) -> Iterator[tuple[int, bytes, int]]:
    at = _HEADER.size
    while at < end:
        (head,) = _WORD.unpack_from(page, at)
        kind = head & ((1 << _TYPE_BITS) - 1)
        if kind >= _TIME_EXTEND:
            at += 2 * _WORD.size
            continue
        if kind == _PADDING and head >> _TYPE_BITS == 0:
            return
        # The length of what is longer than 28 words stands in a word of its own.
        apart = kind in {0, _PADDING}
        data = at + (2 * _WORD.size if apart else _WORD.size)
        length = _WORD.unpack_from(page, at + _WORD.size)[0] if apart else kind * _WORD.size
        at += _WORD.size + length
        if kind != _PADDING:
            yield page[data] | page[data + 1] << 8, page, data
