"""A recording of a page allocator, and the file that it is kept in.

The file is JSON, compressed with xz; docs/reference/allocations.md describes it.
"""

import json
import lzma
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, Final

from memhp.core.errors import RecordingError
from memhp.model.allocations.events import Allocated, Freed, PageEvent

FORMAT: Final = "memhp allocations 1"
Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedZone:
    """A zone at the end: pages, marks, and counts by order and by migrate type."""

    node: int
    zone: str
    start_pfn: int
    spanned: int
    present: int
    managed: int
    free: int
    minimum: int
    low: int
    high: int
    protection: tuple[int, ...]
    in_lists: int
    chunks: tuple[int, ...]
    pageblocks: Mapping[str, int]

    @property
    def end_pfn(self) -> int:
        return self.start_pfn + self.spanned


@dataclass(frozen=True, slots=True, kw_only=True)
class TriedBlock:
    """A memory block that the kernel was asked to take offline: the errno, or none for success."""

    block: int
    zone: str
    errno: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AllocationRecording:
    """What one kernel's page allocator did from boot on.

    ``start`` holds runs of pages that were not the allocator's at first; ``flags``
    the kernel's flags of every page at the end, by page frame; ``fallbacks``
    counts ``mm_page_alloc_extfrag`` by ``(wanted, taken from, block changed hands)``.
    ``untraced`` counts the allocations that were deduced, ``overlaps`` what fits no story.
    """

    kernel: str
    workload: str
    seed: int
    size_mib: int
    block_size_bytes: int
    zones: tuple[RecordedZone, ...]
    start: tuple[tuple[int, int], ...]
    events: tuple[PageEvent, ...]
    flags: tuple[int, ...]
    fallbacks: Mapping[tuple[int, int, bool], int]
    untraced: int
    overlaps: int
    tried: tuple[TriedBlock, ...]


def write_allocations(recording: AllocationRecording, file: Path) -> None:
    """Write a recording; the same recording gives the same bytes."""
    text = json.dumps(_document(recording), separators=(",", ":"))
    file.write_bytes(lzma.compress(text.encode(), preset=9))


def read_allocations(file: Path) -> AllocationRecording:
    """Read a recording; raises ``RecordingError``."""
    try:
        document = json.loads(lzma.decompress(file.read_bytes()))
    except OSError as err:
        raise _wrong(file, "file", f"cannot be read ({err.strerror})") from err
    except (lzma.LZMAError, ValueError) as err:
        raise _wrong(file, "file", "is no JSON compressed with xz") from err
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise _wrong(file, "format", f"is not '{FORMAT}'")
    try:
        return _recording(document)
    except KeyError as err:
        raise _wrong(file, str(err.args[0]), "is missing") from err
    except (TypeError, ValueError, IndexError) as err:
        raise _wrong(file, "document", f"does not fit the format ({err})") from err


def _wrong(file: Path, field: str, problem: str) -> RecordingError:
    return RecordingError(file=str(file), field=field, problem=problem)


def _document(recording: AllocationRecording) -> Json:
    kinds, what = _coded(recording.events)
    return {
        "format": FORMAT,
        "kernel": recording.kernel,
        "workload": recording.workload,
        "seed": recording.seed,
        "size_mib": recording.size_mib,
        "block_size": recording.block_size_bytes,
        "zones": [_zone_json(zone) for zone in recording.zones],
        "start": recording.start,
        "kinds": kinds,
        "what": what,
        "pfn": list(_steps(event.pfn for event in recording.events)),
        "flags": list(_lengths(recording.flags)),
        "fallbacks": [[*key, count] for key, count in sorted(recording.fallbacks.items())],
        "untraced": recording.untraced,
        "overlaps": recording.overlaps,
        "tried": [[one.block, one.zone, one.errno] for one in recording.tried],
    }


def _coded(events: Iterable[PageEvent]) -> tuple[list[list[int]], list[int]]:
    """Allocations as the number of their kind, frees as ``-1 - order``."""
    kinds: dict[tuple[int, int, int, bool], int] = {}
    what = []
    for event in events:
        if isinstance(event, Freed):
            what.append(-1 - event.order)
        else:
            key = (event.order, event.gfp_flags, event.migratetype, event.traced)
            what.append(kinds.setdefault(key, len(kinds)))
    return [[order, gfp, kind, int(traced)] for order, gfp, kind, traced in kinds], what


def _steps(numbers: Iterable[int]) -> Iterator[int]:
    last = 0
    for number in numbers:
        yield number - last
        last = number


def _lengths(values: Iterable[int]) -> Iterator[list[int]]:
    """Runs of equal neighbours, as ``[how many, value]``."""
    count, last = 0, 0
    for value in values:
        if count and value != last:
            yield [count, last]
            count = 0
        count, last = count + 1, value
    if count:
        yield [count, last]


def _recording(document: Json) -> AllocationRecording:
    return AllocationRecording(
        kernel=document["kernel"],
        workload=document["workload"],
        seed=document["seed"],
        size_mib=document["size_mib"],
        block_size_bytes=document["block_size"],
        zones=tuple(_zone(zone) for zone in document["zones"]),
        start=tuple((first, count) for first, count in document["start"]),
        events=tuple(_events(document)),
        flags=tuple(bits for count, bits in document["flags"] for _ in range(count)),
        fallbacks={
            (wanted, taken, bool(changed)): count
            for wanted, taken, changed, count in document["fallbacks"]
        },
        untraced=document["untraced"],
        overlaps=document["overlaps"],
        tried=tuple(
            TriedBlock(block=block, zone=zone, errno=errno)
            for block, zone, errno in document["tried"]
        ),
    )


def _events(document: Json) -> Iterator[PageEvent]:
    kinds = document["kinds"]
    for what, pfn in zip(document["what"], accumulate(document["pfn"]), strict=True):
        if what < 0:
            yield Freed(pfn, -1 - what)
        else:
            order, gfp, kind, traced = kinds[what]
            yield Allocated(pfn, order, gfp, kind, bool(traced))


def _zone_json(zone: RecordedZone) -> Json:
    return {name: getattr(zone, name) for name in RecordedZone.__slots__}


def _zone(document: Json) -> RecordedZone:
    return RecordedZone(
        **document
        | {"protection": tuple(document["protection"]), "chunks": tuple(document["chunks"])}
    )
