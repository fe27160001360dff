"""Feed a recording's allocations to the modelled allocator.

The model is told what was asked for and what was given back, never where the
kernel put it. Only pages that the kernel had taken for itself before the first
event lie where they lay.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Final

import numpy as np
import numpy.typing as npt

from memhp.core.geometry import PAGES_PER_PAGEBLOCK, NodeId
from memhp.core.words import ZoneType
from memhp.model.allocations.events import Allocated, Freed, PageEvent, PageFlag, is_free
from memhp.model.allocations.recording import AllocationRecording, RecordedZone
from memhp.model.pages.allocate import Request
from memhp.model.pages.area import Area, Marks, batch_size
from memhp.model.pages.frames import FREE_TAIL, RESERVED, UNMOVABLE, Frames, Pfns
from memhp.model.pages.gfp import Gfp
from memhp.model.pages.give import give_to
from memhp.model.pages.pages import Pages
from memhp.model.pages.words import MAX_ORDER, PAGEBLOCK_ORDER, MigrateType
from memhp.model.profile import profile_like

_NOWHERE: Final = -1
_BITS: Final = (
    (0x01, Gfp.DMA),
    (0x02, Gfp.HIGHMEM),
    (0x04, Gfp.DMA32),
    (0x08, Gfp.MOVABLE),
    (0x10, Gfp.RECLAIMABLE),
    (0x20, Gfp.HIGH),
    (1 << 17, Gfp.MEMALLOC),
    (1 << 21, Gfp.THISNODE),
)
"""``___GFP_*`` bits as 6.1 and 6.12 number them (``gfp_types.h``)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """Where the model put what is held at the end, and how many pages it could not give."""

    model_of: Mapping[int, int]
    refused_pages: int
    pages: Pages


def replay(recording: AllocationRecording) -> Replay:
    """Play a recording through the model."""
    pages = _at_the_start(recording)
    player = _Player(pages, len(recording.flags))
    for batch in _batches(recording.events):
        player.play(batch)
    return Replay(model_of=player.held(), refused_pages=player.refused, pages=pages)


def model_gfp(gfp_flags: int) -> Gfp:
    """What the model has of a kernel's GFP mask."""
    mask = Gfp.NONE
    for bit, flag in _BITS:
        if gfp_flags & bit:
            mask |= flag
    return mask


class _Player:
    """Plays batches of equal events; ``place`` has the model's frame for each of the kernel's."""

    def __init__(self, pages: Pages, nr_frames: int) -> None:
        self.pages = pages
        self.refused = 0
        self._place: npt.NDArray[np.int64] = np.arange(nr_frames, dtype=np.int64)
        self._given = np.zeros(nr_frames, np.bool_)

    def play(self, batch: list[PageEvent]) -> None:
        """Play events of one sort, as if one by one."""
        first = batch[0]
        real = np.array([event.pfn for event in batch], np.int64)
        if isinstance(first, Allocated):
            self._allocate(real, first)
        else:
            self._free(real, first.order)

    def held(self) -> dict[int, int]:
        """The model's frame for every frame that was given out and is still held."""
        (real,) = np.nonzero(self._given & (self._place != _NOWHERE))
        return dict(zip(real.tolist(), self._place[real].tolist(), strict=True))

    def _allocate(self, real: Pfns, first: Allocated) -> None:
        request = Request(
            gfp=model_gfp(first.gfp_flags), node=NodeId(0), order=first.order, count=len(real)
        )
        heads = self.pages.take(request)
        short = len(real) - len(heads)
        self.refused += short << first.order
        frames = _every_page(heads, first.order)
        # Each page for itself: what was given as one is at times given back in pieces.
        self.pages.frames.state[frames] = UNMOVABLE
        all_real = _every_page(real, first.order)
        self._place[all_real[: len(frames)]] = frames
        self._place[all_real[len(frames) :]] = _NOWHERE
        self._given[all_real] = True

    def _free(self, real: Pfns, order: int) -> None:
        heads = self._place[real]
        given = self._given[real]
        self._given[_every_page(real, order)] = False
        for pfn in real[~given].tolist():
            self._release(pfn, order)
        whole = given & (heads != _NOWHERE)
        if whole.any():
            self.pages.give_back(heads[whole], order)

    def _release(self, pfn: int, order: int) -> None:
        """Give the allocator what it did not have at first (``__free_pages_core()``)."""
        area = self.pages.area_of(pfn)
        if area is None:
            return
        if order < PAGEBLOCK_ORDER:
            self.pages.give_back(np.array([pfn]), order)
            return
        block = pfn // PAGES_PER_PAGEBLOCK
        blocks = max(1, (1 << order) // PAGES_PER_PAGEBLOCK)
        self.pages.frames.migratetype[block : block + blocks] = MigrateType.MOVABLE
        give_to(area, pfn, order, tail=True)


def _batches(events: Iterable[PageEvent]) -> Iterator[list[PageEvent]]:
    """Neighbours that ask for the same, or give back the same."""
    for _, group in groupby(events, key=_sort):
        batch: list[PageEvent] = []
        seen: set[int] = set()
        for event in group:
            # A page that comes twice in a batch was given back in between.
            if event.pfn in seen:
                yield batch
                batch, seen = [], set()
            batch.append(event)
            seen.add(event.pfn)
        yield batch


def _sort(event: PageEvent) -> tuple[int, int, int]:
    if isinstance(event, Freed):
        return -1, event.order, 0
    return event.gfp_flags, event.order, event.migratetype


def _every_page(heads: Pfns, order: int) -> Pfns:
    return heads if not order else (heads[:, None] + np.arange(1 << order)).ravel()


def _at_the_start(recording: AllocationRecording) -> Pages:
    """The allocator as it was before the first event."""
    frames = Frames(len(recording.flags))
    profile = profile_like(recording.kernel)
    pages = Pages(frames, claims_apart=profile.fallback_claims_first)
    for zone in recording.zones:
        area = pages.area(NodeId(zone.node), ZoneType(zone.zone))
        _set_up(area, zone)
        _fill(area, zone, recording)
    nodes = tuple(sorted({NodeId(zone.node) for zone in recording.zones}))
    pages.several_nodes = len(nodes) > 1
    pages.fallback_order = {
        node: (node, *(other for other in nodes if other != node)) for node in nodes
    }
    pages.rebuild_zonelists()
    return pages


def _set_up(area: Area, zone: RecordedZone) -> None:
    area.populated = zone.managed > 0
    area.marks = Marks(minimum=zone.minimum, low=zone.low, high=zone.high, reserve=zone.protection)
    area.batch = batch_size(zone.managed)
    area.high = max(zone.low, 4 * area.batch)


def _fill(area: Area, zone: RecordedZone, recording: AllocationRecording) -> None:
    """Everything in the zone is free but for what was not the allocator's at first."""
    first, last = zone.start_pfn, zone.end_pfn
    blocks = slice(first // PAGES_PER_PAGEBLOCK, -(-last // PAGES_PER_PAGEBLOCK))
    area.frames.zone[blocks] = area.index
    area.frames.migratetype[blocks] = MigrateType.MOVABLE
    _claimed_blocks(area, recording)
    for low, count in recording.start:
        inside = range(max(low, first), min(low + count, last))
        if inside:
            area.frames.state[inside.start : inside.stop] = RESERVED
            _full_blocks(area, inside)
            _put_free(area, first, inside.start)
            first = inside.stop
    _put_free(area, first, last)


def _full_blocks(area: Area, taken: range) -> None:
    """A pageblock of which nothing was free has had no type set but the first, unmovable.

    Source: ``memmap_init_zone_range()`` stops where the rest is deferred, and
    ``deferred_free_pages()`` sets the type of what it frees.
    """
    low, high = -(-taken.start // PAGES_PER_PAGEBLOCK), taken.stop // PAGES_PER_PAGEBLOCK
    area.frames.migratetype[low : max(low, high)] = MigrateType.UNMOVABLE


def _claimed_blocks(area: Area, recording: AllocationRecording) -> None:
    """The allocator ran before tracing did, and gave the kernel pages out of pageblocks of its own.

    What it gave is what lies there without the flag of memory that was kept at boot.
    """
    for low, count in recording.start:
        for pfn in range(low, low + count):
            flags = recording.flags[pfn]
            if not flags & PageFlag.RESERVED and not is_free(flags) and _is_in(area, pfn):
                area.frames.migratetype[pfn // PAGES_PER_PAGEBLOCK] = MigrateType.UNMOVABLE


def _is_in(area: Area, pfn: int) -> bool:
    return bool(area.frames.zone[pfn // PAGES_PER_PAGEBLOCK] == area.index)


def _put_free(area: Area, start: int, end: int) -> None:
    """Put a free range on the lists of its pageblocks' types, in ascending order."""
    while start < end:
        aligned = (start & -start).bit_length() - 1 if start else MAX_ORDER
        order = min(aligned, (end - start).bit_length() - 1, MAX_ORDER)
        kind = MigrateType(area.frames.migratetype[start // PAGES_PER_PAGEBLOCK])
        area.frames.state[start : start + (1 << order)] = FREE_TAIL
        area.put(start, order, kind, tail=True)
        area.account(kind, 1 << order)
        start += 1 << order
