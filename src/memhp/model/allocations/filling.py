"""Which zones fill in which order with anonymous memory, there and in the model."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from memhp.core.errors import FormatError, RecordingError
from memhp.core.geometry import MIB, PAGES_PER_PAGEBLOCK, NodeId, pages_of, round_up
from memhp.core.values_json import from_json, to_json
from memhp.core.words import ZoneType
from memhp.model.pages.allocate import Request
from memhp.model.pages.area import Area, Marks, batch_size
from memhp.model.pages.frames import FREE_TAIL, UNMOVABLE, Frames
from memhp.model.pages.gfp import GFP_HIGHUSER_MOVABLE
from memhp.model.pages.pages import Pages
from memhp.model.pages.words import MAX_ORDER, MigrateType
from memhp.model.profile import profile_like

_LARGEST: Final = 1 << MAX_ORDER
_ENOUGH: Final = 0.02
"""A zone counts as used in a step that takes more than this share of the step from it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneAtStart:
    """A zone before anything was taken, in pages; ``list_high`` is a per-processor list's limit."""

    node: int
    zone: str
    managed: int
    free: int
    minimum: int
    low: int
    high: int
    protection: tuple[int, ...]
    list_high: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Filling:
    """What was free in each zone before, after each step, and at last; pages.

    ``ratio`` is ``vm.lowmem_reserve_ratio``. ``free`` has a number a zone, in
    the order of ``zones``. The last step may be short: after it nothing more could be had.
    """

    kernel: str
    ratio: str
    step_mib: int
    zones: tuple[ZoneAtStart, ...]
    free: tuple[tuple[int, ...], ...]

    def order(self) -> tuple[str, ...]:
        """The zones in the order in which they were first drawn upon."""
        seen: list[int] = []
        before = tuple(zone.free for zone in self.zones)
        for now in self.free:
            taken = [old - new for old, new in zip(before, now, strict=True)]
            enough = _ENOUGH * pages_of(self.step_mib * MIB)
            used = [index for index, pages in enumerate(taken) if pages > enough]
            # Within a step the one that gave least was reached last.
            used.sort(key=lambda index: -taken[index])
            seen += [index for index in used if index not in seen]
            before = now
        return tuple(self.zones[index].zone for index in seen)

    def left(self) -> dict[str, int]:
        """What was free in each zone when nothing more could be had."""
        names = (zone.zone for zone in self.zones)
        return dict(zip(names, self.free[-1], strict=True))


def write_filling(filling: Filling, file: Path) -> None:
    """Write it as JSON."""
    file.write_text(json.dumps(to_json(filling)) + "\n", "utf-8")


def read_filling(file: Path) -> Filling:
    """Read it again; raises ``RecordingError``."""
    try:
        filling: Filling = from_json(Filling, json.loads(file.read_text("utf-8")))
    except OSError as err:
        why = f"cannot be read ({err.strerror})"
        raise RecordingError(file=str(file), field="file", problem=why) from err
    except (ValueError, FormatError) as err:
        why = f"does not fit the format ({err})"
        raise RecordingError(file=str(file), field="document", problem=why) from err
    return filling


def model_filling(recorded: Filling) -> Filling:
    """Take single pages of anonymous memory from the same zones in the model, step by step."""
    pages = _pages(recorded)
    step = pages_of(recorded.step_mib * MIB)
    free = [_free(pages)]
    while True:
        heads = pages.take(Request(gfp=GFP_HIGHUSER_MOVABLE, node=NodeId(0), count=step))
        pages.frames.state[heads] = UNMOVABLE
        free.append(_free(pages))
        if len(heads) < step:
            return replace(recorded, free=tuple(free))


def _free(pages: Pages) -> tuple[int, ...]:
    return tuple(area.free for area in pages.areas)


def _pages(recorded: Filling) -> Pages:
    """An allocator of the zones as they were, each with its free pages in one piece."""
    zones, profile = recorded.zones, profile_like(recorded.kernel)
    sizes = [round_up(zone.free, _LARGEST) for zone in zones]
    frames = Frames(sum(sizes) + _LARGEST)
    pages = Pages(frames, claims_apart=profile.fallback_claims_first)
    start = 0
    for zone, size in zip(zones, sizes, strict=True):
        area = pages.area(NodeId(zone.node), ZoneType(zone.zone))
        area.populated = True
        area.marks = Marks(
            minimum=zone.minimum, low=zone.low, high=zone.high, reserve=zone.protection
        )
        area.batch = batch_size(zone.managed)
        area.high = zone.list_high
        _put_free(area, start, zone.free)
        start += size
    nodes = sorted({NodeId(zone.node) for zone in zones})
    pages.fallback_order = {node: tuple(_nearest(node, nodes)) for node in nodes}
    pages.several_nodes = len(nodes) > 1
    pages.rebuild_zonelists()
    return pages


def _nearest(node: NodeId, nodes: Iterable[NodeId]) -> Iterable[NodeId]:
    return sorted(nodes, key=lambda other: (other != node, other))


def _put_free(area: Area, start: int, nr_pages: int) -> None:
    first = start // PAGES_PER_PAGEBLOCK
    blocks = slice(first, first + -(-nr_pages // PAGES_PER_PAGEBLOCK))
    area.frames.zone[blocks] = area.index
    area.frames.migratetype[blocks] = MigrateType.MOVABLE
    area.frames.state[start : start + nr_pages] = FREE_TAIL
    area.account(MigrateType.MOVABLE, nr_pages)
    while nr_pages:
        order = min(MAX_ORDER, nr_pages.bit_length() - 1)
        area.put(start, order, MigrateType.MOVABLE, tail=True)
        start += 1 << order
        nr_pages -= 1 << order
