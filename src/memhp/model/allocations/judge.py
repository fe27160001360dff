"""Hold where the model put pages against where the kernel put them."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from memhp.core.geometry import PAGES_PER_PAGEBLOCK, pages_of
from memhp.core.words import ZoneType
from memhp.model.allocations.events import Allocated, can_move, is_free, pages_of_event
from memhp.model.allocations.recording import AllocationRecording
from memhp.model.allocations.replay import Replay
from memhp.model.pages.words import MAX_ORDER, PAGEBLOCK_ORDER, MigrateType

TOLERANCE: Final = 0.10
"""How far the number of pageblocks with an unmovable page may be off."""
_NO_OPINION: Final = frozenset({"EINVAL"})
"""Holes and blocks of several zones are refused whatever their pages are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockVerdict:
    """A memory block: what the kernel said when asked, and what the pages say there and here."""

    block: int
    kernel: str | None
    by_flags: bool
    by_model: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """One recording judged.

    ``recorded`` and ``modelled`` count pageblocks that hold an unmovable page;
    the ``_beyond`` figures leave out those that had one before the first
    event. ``pages`` is how many unmovable pages there are. Pairs are the
    kernel's figure and the model's.
    """

    kernel: str
    workload: str
    seed: int
    pages: int
    recorded: int
    modelled: int
    recorded_beyond: int
    modelled_beyond: int
    blocks: tuple[BlockVerdict, ...]
    pages_by_zone: Mapping[str, tuple[int, int]]
    pageblocks_by_type: Mapping[str, tuple[int, int]]
    free_2mib_ranges: tuple[int, int]

    @property
    def off_by(self) -> float:
        """How far the model's number of pageblocks is from the kernel's, as a share."""
        return abs(self.modelled - self.recorded) / self.recorded if self.recorded else 0.0

    @property
    def within(self) -> bool:
        return self.off_by <= TOLERANCE

    @property
    def differently(self) -> tuple[BlockVerdict, ...]:
        """The blocks that the kernel's pages and the model's judge differently."""
        return tuple(block for block in self.blocks if block.by_flags != block.by_model)


def unmovable_at_end(recording: AllocationRecording) -> tuple[list[int], list[int]]:
    """Page frames that cannot move at the end: those there from the start, those given out."""
    start = {pfn for first, count in recording.start for pfn in range(first, first + count)}
    given: set[int] = set()
    for event in recording.events:
        if isinstance(event, Allocated):
            given.update(pages_of_event(event))
        else:
            start.difference_update(pages_of_event(event))
            given.difference_update(pages_of_event(event))
    flags = recording.flags
    stuck = [sorted(p for p in pages if _stuck(flags[p])) for pages in (start, given)]
    return stuck[0], stuck[1]


def judge(recording: AllocationRecording, played: Replay) -> Judgement:
    """Judge a replay of a recording."""
    start, given = unmovable_at_end(recording)
    moved = [played.model_of[pfn] for pfn in given if pfn in played.model_of]
    there = _pageblocks(start)
    real, model = _pageblocks([*start, *given]), _pageblocks([*start, *moved])
    return Judgement(
        kernel=recording.kernel,
        workload=recording.workload,
        seed=recording.seed,
        pages=len(start) + len(given),
        recorded=len(real),
        modelled=len(model),
        recorded_beyond=len(real - there),
        modelled_beyond=len(model - there),
        blocks=tuple(_verdicts(recording, [*start, *given], [*start, *moved])),
        pages_by_zone=_by_zone(recording, given, moved),
        pageblocks_by_type=_by_type(recording, played),
        free_2mib_ranges=_free_ranges(recording, played),
    )


def _stuck(flags: int) -> bool:
    return not is_free(flags) and not can_move(flags)


def _pageblocks(pfns: Iterable[int]) -> set[int]:
    return {pfn // PAGES_PER_PAGEBLOCK for pfn in pfns}


def _verdicts(
    recording: AllocationRecording, real: list[int], model: list[int]
) -> Iterable[BlockVerdict]:
    """Every block that could go offline at all, by whether an unmovable page lies in it.

    In ZONE_MOVABLE everything but reserved pages counts as movable
    (``has_unmovable_pages()``).
    """
    per_block = pages_of(recording.block_size_bytes)
    real_blocks, model_blocks = ({pfn // per_block for pfn in pfns} for pfns in (real, model))
    for tried in sorted(recording.tried, key=lambda one: one.block):
        if tried.errno in _NO_OPINION:
            continue
        movable = tried.zone == ZoneType.MOVABLE
        yield BlockVerdict(
            block=tried.block,
            kernel=tried.errno,
            by_flags=movable or tried.block not in real_blocks,
            by_model=movable or tried.block not in model_blocks,
        )


def _by_zone(
    recording: AllocationRecording, real: list[int], model: list[int]
) -> dict[str, tuple[int, int]]:
    """How many unmovable pages that were given out lie in each zone, there and here."""
    counts = [Counter(_zone_of(recording, pfn) for pfn in pfns) for pfns in (real, model)]
    return {zone: (counts[0][zone], counts[1][zone]) for zone in sorted({*counts[0], *counts[1]})}


def _zone_of(recording: AllocationRecording, pfn: int) -> str:
    for zone in recording.zones:
        if zone.start_pfn <= pfn < zone.end_pfn:
            return f"node {zone.node} {zone.zone}"
    return "none"


def _by_type(recording: AllocationRecording, played: Replay) -> dict[str, tuple[int, int]]:
    """How many pageblocks of each migrate type all zones have, there and here."""
    frames = played.pages.frames
    return {
        kind.label: (
            sum(zone.pageblocks.get(kind.label, 0) for zone in recording.zones),
            int(np.count_nonzero(frames.migratetype[frames.zone > 0] == kind)),
        )
        for kind in MigrateType
    }


def _free_ranges(recording: AllocationRecording, played: Replay) -> tuple[int, int]:
    """How many free ranges of 2 MiB there are, there and here."""
    large = range(PAGEBLOCK_ORDER, MAX_ORDER + 1)
    return (
        sum(
            zone.chunks[order] << order - PAGEBLOCK_ORDER
            for zone in recording.zones
            for order in large
        ),
        sum(
            area.nr_free(order) << order - PAGEBLOCK_ORDER
            for area in played.pages.areas
            for order in large
        ),
    )
