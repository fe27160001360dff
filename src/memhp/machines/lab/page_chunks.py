"""What the program in the guest sent, turned into a recording's parts."""

import re
import struct
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

from memhp.core.errors import FormatError
from memhp.machines.lab.ring_buffer import parse_format, raw_events
from memhp.model.allocations.events import Allocated, Freed, PageEvent
from memhp.model.allocations.recording import RecordedZone

Chunks = Mapping[str, list[bytes]]
_ZONE = re.compile(r"^Node (\d+), zone +(\w+)$", re.MULTILINE)
_NUMBERS = ("spanned", "present", "managed", "min", "low", "high", "start_pfn")
_FREE = re.compile(r"pages free +(\d+)")
_PROTECTION = re.compile(r"protection: \((.*?)\)")
_IN_LIST = re.compile(r"^ +count: +(\d+)$", re.MULTILINE)
_BUDDY = re.compile(r"^Node (\d+), zone +(\w+)((?: +\d+)+) *$", re.MULTILINE)
_TYPES = re.compile(r"^Number of blocks type(.*)$", re.MULTILINE)
_NO_PAGE: Final = (0, (1 << 64) - 1)


def read_chunks(data: bytes) -> Chunks:
    """Take the stream apart; raises ``FormatError`` where it ends too early."""
    chunks: dict[str, list[bytes]] = {}
    at = 0
    while (end := data.find(b"\n", at)) >= 0:
        name, length = data[at:end].decode("ascii", "replace").rsplit(" ", 1)
        at = end + 1 + int(length)
        if name == "end":
            return chunks
        chunks.setdefault(name, []).append(data[end + 1 : at])
    raise FormatError("what the guest sent of its pages ends too early")


def text_of(chunks: Chunks, name: str) -> str:
    """A file that was sent."""
    return b"".join(chunks[name]).decode("ascii", "replace")


def page_flags(chunks: Chunks) -> tuple[int, ...]:
    """The flags of every page, by page frame."""
    data = b"".join(chunks["kpageflags"])
    return struct.unpack(f"<{len(data) // 8}Q", data)


def traced_events(chunks: Chunks) -> Iterator[PageEvent]:
    """What was given out and given back, in order; raises ``FormatError``."""
    given = parse_format(text_of(chunks, "mm_page_alloc"))
    freed = parse_format(text_of(chunks, "mm_page_free"))
    of_given = given.unpacker("pfn", "order", "gfp_flags", "migratetype")
    of_freed = freed.unpacker("pfn", "order")
    for number, page, at in raw_events(chunks["trace"]):
        if number == given.number:
            pfn, order, gfp, migratetype = of_given.unpack_from(page, at)
            if pfn not in _NO_PAGE:
                yield Allocated(pfn, order, gfp, migratetype)
        elif number == freed.number:
            yield Freed(*of_freed.unpack_from(page, at))


def fallbacks(chunks: Chunks) -> dict[tuple[int, int, bool], int]:
    """Count the fallbacks: type wanted, type taken from, whether the pageblock changed hands."""
    fallback = parse_format(text_of(chunks, "mm_page_alloc_extfrag"))
    layout = fallback.unpacker("alloc_migratetype", "fallback_migratetype", "change_ownership")
    counts: Counter[tuple[int, int, bool]] = Counter()
    for number, page, at in raw_events(chunks["trace"]):
        if number == fallback.number:
            wanted, taken, changed = layout.unpack_from(page, at)
            counts[wanted, taken, bool(changed)] += 1
    return dict(counts)


def lists_pages(chunks: Chunks) -> int:
    """How many pages lay in per-processor lists at the end."""
    return sum(zone.in_lists for zone in zones(chunks))


def zones(chunks: Chunks) -> tuple[RecordedZone, ...]:
    """Every zone with a page, from zoneinfo, buddyinfo and pagetypeinfo."""
    chunks_by_zone = {
        (int(node), zone): tuple(map(int, counts.split()))
        for node, zone, counts in _BUDDY.findall(text_of(chunks, "buddyinfo"))
    }
    blocks = _pageblocks(text_of(chunks, "pagetypeinfo"))
    parts = _ZONE.split(text_of(chunks, "zoneinfo"))[1:]
    found = zip(parts[::3], parts[1::3], parts[2::3], strict=True)
    return tuple(
        _zone(int(node), zone, text, chunks_by_zone[int(node), zone], blocks[int(node), zone])
        for node, zone, text in found
        if (int(node), zone) in chunks_by_zone
    )


def _pageblocks(text: str) -> dict[tuple[int, str], dict[str, int]]:
    """How many pageblocks each zone has of each type: the last table of pagetypeinfo."""
    head = _TYPES.search(text)
    if head is None:
        raise FormatError("pagetypeinfo has no table of pageblocks")
    names = head[1].split()
    return {
        (int(node), zone): dict(zip(names, map(int, counts.split()), strict=True))
        for node, zone, counts in _BUDDY.findall(text, head.end())
    }


def _zone(
    node: int, zone: str, text: str, chunks: tuple[int, ...], pageblocks: dict[str, int]
) -> RecordedZone:
    number = {name: int(_found(rf"^ +{name}:? +(\d+)$", text)) for name in _NUMBERS}
    protection = _PROTECTION.search(text)
    free = _FREE.search(text)
    return RecordedZone(
        node=node,
        zone=zone,
        start_pfn=number["start_pfn"],
        spanned=number["spanned"],
        present=number["present"],
        managed=number["managed"],
        free=int(free[1]) if free else 0,
        minimum=number["min"],
        low=number["low"],
        high=number["high"],
        protection=tuple(map(int, protection[1].split(", "))) if protection else (),
        in_lists=sum(map(int, _IN_LIST.findall(text))),
        chunks=chunks,
        pageblocks=pageblocks,
    )


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text, re.MULTILINE)
    if match is None:
        raise FormatError(f"zoneinfo has no line like {pattern}")
    return match[1]
