"""Bulk paths against the page-at-a-time allocator: same frames, same lists, same counts."""

from dataclasses import dataclass, field, replace
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memhp.core.geometry import NodeId
from memhp.core.words import ZoneType
from memhp.model.pages.allocate import Asked, Request
from memhp.model.pages.area import Marks
from memhp.model.pages.frames import Frames
from memhp.model.pages.gfp import (
    GFP_HIGHUSER_MOVABLE,
    GFP_KERNEL,
    GFP_RECLAIMABLE,
    Gfp,
    highest_zone,
    migratetype_of,
)
from memhp.model.pages.holding import SLOTS_PER_UNIT, Holding
from memhp.model.pages.pages import Pages
from memhp.model.pages.words import MigrateType, PageKind
from model.pages.reference_allocator import MAX, Reference, RefZone

SECTION = 1 << 15
MASKS = (GFP_KERNEL, GFP_HIGHUSER_MOVABLE, GFP_RECLAIMABLE, Gfp.MOVABLE, Gfp.DMA32)


@dataclass
class Layout:
    """A zone for both: where it lies, in frames, and its marks."""

    node: int
    zone: ZoneType
    start: int
    end: int
    low: int = 0
    minimum: int = 0
    reserve: tuple[int, ...] = (0, 0, 0, 0, 0)
    batch: int = 7
    high: int = 40


@dataclass
class Pair:
    """The model and the reference, with the same zones; what is done to one is done to both."""

    layouts: list[Layout]
    claims_first: bool
    pages: Pages = field(init=False)
    reference: Reference = field(init=False)
    held: list[tuple[list[int], int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        frames = Frames(max(layout.end for layout in self.layouts))
        self.pages = Pages(frames, claims_apart=self.claims_first)
        zones = []
        for layout in self.layouts:
            _make_area(self.pages, layout)
            zones.append(
                RefZone(
                    name=(layout.node, layout.zone.value),
                    start=layout.start,
                    end=layout.end,
                    class_index=layout.zone.order,
                    claims_first=self.claims_first,
                    low=layout.low,
                    minimum=layout.minimum,
                    reserve=layout.reserve,
                    batch=layout.batch,
                    high=layout.high,
                )
            )
        self.reference = Reference(zones)
        nodes = sorted({layout.node for layout in self.layouts})
        self.pages.several_nodes = len(nodes) > 1
        self.pages.fallback_order = {
            NodeId(n): tuple(NodeId(m) for m in sorted(nodes, key=lambda m: (m != n, m)))
            for n in nodes
        }

    def alloc(self, gfp: Gfp, order: int, count: int, node: int) -> None:
        kind = PageKind.ANON if gfp & Gfp.MOVABLE else PageKind.KERNEL
        request = Request(gfp=gfp, order=order, count=count, node=NodeId(node))
        holding = self.pages.allocate(request, kind)
        got = self.pages.holders.heads(holding).tolist() if holding else []
        assert got == self._reference_alloc(gfp, order, count, node)
        if got:
            self.held.append((got, order))

    def alloc_all(self, gfp: Gfp, orders: list[int], counts: list[int], node: int) -> None:
        """A batch for several owners, of whom some ask alike."""
        kind = PageKind.ANON if gfp & Gfp.MOVABLE else PageKind.KERNEL
        asked = [
            Asked(Request(gfp=gfp, order=order, count=count, node=NodeId(node)), kind, str(number))
            for number, (order, count) in enumerate(zip(orders, counts, strict=True))
        ]
        for each, holding in zip(asked, self.pages.allocate_all(asked), strict=True):
            got = self.pages.holders.heads(holding).tolist() if holding else []
            request = each.request
            assert got == self._reference_alloc(gfp, request.order, request.count, node)
            if holding is not None:
                self.held.append((got, request.order))
                assert self.pages.holders.at(got[-1]) is holding
                assert (holding.owner, holding.count) == (each.owner, len(got))

    def _reference_alloc(self, gfp: Gfp, order: int, count: int, node: int) -> list[int]:
        top = highest_zone(gfp).order
        nodes = sorted({z.name[0] for z in self.reference.zones}, key=lambda m: (m != node, m))
        zonelist = [
            zone
            for near in nodes
            for zone in sorted(self.reference.zones, key=lambda z: -z.class_index)
            if zone.name[0] == near and zone.class_index <= top
        ]
        got = []
        for _ in range(count):
            if not zonelist:
                break
            pfn = self.reference.alloc(zonelist, order, int(migratetype_of(gfp)), top)
            if pfn is None:
                break
            got.append(pfn)
        return got

    def free(self, which: int, part: list[int]) -> None:
        heads, order = self.held[which]
        chosen = [heads[at] for at in part]
        left = [pfn for at, pfn in enumerate(heads) if at not in set(part)]
        self.held[which] = (left, order)
        if not left:
            self.held.pop(which)
        self.pages.free_pages(np.array(chosen, np.int64))
        # The model frees by zone; within a zone in order.
        for zone in self.reference.zones:
            for pfn in chosen:
                if zone.start <= pfn < zone.end:
                    self.reference.free(pfn, order)

    def drain(self) -> None:
        self.pages.drain()
        self.reference.drain()

    def check(self) -> None:
        for area, zone in zip(self.pages.areas, self.reference.zones, strict=True):
            assert area.free == zone.free
            for mt in MigrateType:
                for order in range(MAX + 1):
                    assert area.lists[mt][order].entries().tolist() == zone.lists[order, mt], (
                        zone.name,
                        mt,
                        order,
                    )
            waiting = {
                key: pages.tolist()
                for pcp in area.pcp.values()
                for key, pages in pcp.lists.items()
                if len(pages)
            }
            assert waiting == {key: pages for key, pages in zone.pcp.items() if pages}
            assert area.cached() == zone.pcp_count
        for block, migratetype in self.reference.block_type.items():
            assert self.pages.frames.migratetype[block] == migratetype


def _make_area(pages: Pages, layout: Layout) -> None:
    area = pages.area(NodeId(layout.node), layout.zone)
    frames = pages.frames
    frames.zone[layout.start >> 9 : layout.end >> 9] = area.index
    frames.migratetype[layout.start >> 9 : layout.end >> 9] = MigrateType.MOVABLE
    if layout.start % SECTION or layout.end % SECTION:
        chunks = np.arange(layout.start, layout.end, 1 << MAX)
        area.put_many(chunks, MAX, MigrateType.MOVABLE, tail=True)
    else:
        area.largest.push_sections(range(layout.start // SECTION, layout.end // SECTION))
    area.free = layout.end - layout.start
    area.populated = True
    area.batch, area.high = layout.batch, layout.high
    area.marks = Marks(minimum=layout.minimum, low=layout.low, reserve=layout.reserve)


LAYOUTS = {
    "one zone": [Layout(0, ZoneType.NORMAL, 4096, 4096 * 2)],
    "marks and reserves": [
        Layout(0, ZoneType.DMA32, 4096, 8192, 90, 60, (0, 0, 33, 150, 150)),
        Layout(0, ZoneType.NORMAL, 8192, 12288, 100, 70, (0, 0, 0, 64, 64), 15, 90),
        Layout(0, ZoneType.MOVABLE, 12288, 14336, 40, 11),
    ],
    "two nodes": [
        Layout(0, ZoneType.DMA32, 4096, 6144, 20, 10),
        Layout(0, ZoneType.NORMAL, 6144, 9216, 30, 20),
        Layout(1, ZoneType.NORMAL, 10240, 12288, 25, 12, batch=1, high=0),
    ],
    "untouched sections": [
        Layout(0, ZoneType.NORMAL, SECTION, 3 * SECTION, 50, 30, batch=63, high=252)
    ],
}


@st.composite
def steps(draw: st.DrawFn) -> list[tuple[object, ...]]:
    few = st.integers(1, 12)
    many = st.integers(1, 3000)
    one = st.one_of(
        st.tuples(
            st.just("alloc"),
            st.sampled_from(MASKS),
            st.sampled_from([0, 0, 0, 0, 1, 3, 4, 8, 9, 10]),
            st.one_of(few, many),
            st.integers(0, 1),
        ),
        st.tuples(st.just("free"), st.integers(0, 99), st.floats(0.01, 1), st.randoms()),
        st.tuples(
            st.just("alloc all"),
            st.sampled_from(MASKS),
            st.lists(
                st.tuples(st.sampled_from([0, 0, 0, 1, 3, 9]), st.integers(1, 70)), min_size=2
            ),
            st.integers(0, 1),
        ),
        st.tuples(st.just("drain")),
    )
    return draw(st.lists(one, min_size=2, max_size=14))


@pytest.mark.parametrize("claims_first", [True, False], ids=["6.12", "6.1"])
@pytest.mark.parametrize("name", LAYOUTS)
@given(todo=steps())
@settings(max_examples=80, deadline=None)
def test_bulk_is_as_one_by_one(
    name: str, claims_first: bool, todo: list[tuple[object, ...]]
) -> None:
    pair = Pair(LAYOUTS[name], claims_first)
    nodes = {layout.node for layout in pair.layouts}
    for step in todo:
        match step:
            case ("alloc", Gfp() as gfp, int(order), int(count), int(node)):
                pair.alloc(gfp, order, max(1, count >> order // 2), node if node in nodes else 0)
            case ("alloc all", Gfp() as gfp, [*pairs], int(node)):
                orders, counts = map(list, zip(*pairs, strict=True))
                pair.alloc_all(gfp, orders, counts, node if node in nodes else 0)
            case ("free", int(which), float(share), Random() as rng) if pair.held:
                which %= len(pair.held)
                number = len(pair.held[which][0])
                part = list(range(number))
                if number % 3:
                    rng.shuffle(part)
                pair.free(which, part[: max(1, int(number * share))])
            case ("drain",):
                pair.drain()
            case _:
                pass
        pair.check()
    pair.drain()
    pair.check()


@given(
    batches=st.lists(
        st.tuples(st.lists(st.integers(1, 40), min_size=1, max_size=20), st.randoms()),
        min_size=2,
        max_size=8,
    )
)
@settings(max_examples=60, deadline=None)
def test_who_holds_what_outlives_packing(batches: list[tuple[list[int], Random]]) -> None:
    """The table is packed at almost every request, and each holding keeps its frames."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("memhp.model.pages.room.WASTE", 16)
        pages = Pair(LAYOUTS["marks and reserves"], claims_first=True).pages
        held: list[tuple[Holding, list[int]]] = []
        for counts, rng in batches:
            request = Request(gfp=MASKS[0], node=NodeId(0))
            asked = [Asked(replace(request, count=n), PageKind.ANON, str(n)) for n in counts]
            got = [each for each in pages.allocate_all(asked) if each is not None]
            held += [(each, pages.holders.heads(each).tolist()) for each in got]
            rng.shuffle(held)
            gone, held = held[: len(held) // 2], held[len(held) // 2 :]
            pages.free_all([holding for holding, _ in gone])
            for holding, frames in held:
                assert pages.holders.heads(holding).tolist() == frames
                assert [pages.holders.at(pfn) for pfn in frames] == [holding] * len(frames)
        assert set(pages.holders.holdings) == {holding.number for holding, _ in held}
        units = sum(-(-holding.count // SLOTS_PER_UNIT) for holding, _ in held)
        room = pages.holders.room
        assert room.next_slot - room.dead_slots == units * SLOTS_PER_UNIT
