"""Who holds which page: holdings, and the table that leads from each to its frames and back.

A *holding* is what one request got: chunks of one order, of one kind, for one
owner. Each chunk has a slot in one large table. The frame's ``link`` names the
slot and travels with what the page holds; the table names the frame and is
what a page table or a mapping is to the kernel. So both directions are one
look, for a thousand pages at once, and a page that was lost, doubled or left
behind shows as two that do not point at each other.
"""

import mmap
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from memhp.core.geometry import PAGES_PER_PAGEBLOCK
from memhp.model.pages.frames import (
    MOVABLE,
    MOVABLE_TAIL,
    ORDER,
    UNMOVABLE,
    UNMOVABLE_TAIL,
    Frames,
    Pfns,
    lazy_array,
)
from memhp.model.pages.holding import SLOTS_PER_UNIT, Holding, each_from
from memhp.model.pages.room import WASTE, Room
from memhp.model.pages.words import KIND_NUMBER, KINDS, PageKind

_MOST_SLOTS: Final = 0xFFFFFFF0
_MOST_ZONES: Final = 1 << 12
_MOST_HOLDINGS: Final = 1 << 28
_SPLIT: Final = {PageKind.THP: PageKind.ANON}


class Holders:
    """All holdings of a machine."""

    __slots__ = (
        "_maps",
        "counts",
        "frames",
        "holder_of_unit",
        "holdings",
        "idle_of",
        "kind_of",
        "live_of",
        "mapcount_of",
        "mlocked_of",
        "next_number",
        "no_frame",
        "pinned_of",
        "room",
        "table",
    )

    def __init__(self, frames: Frames) -> None:
        self.frames = frames
        self.holdings: dict[int, Holding] = {}
        self.next_number = 1
        slots = min(_MOST_SLOTS, 2 * frames.nr_frames + WASTE)
        self.counts: npt.NDArray[np.int64] = np.zeros((_MOST_ZONES, len(KINDS)), np.int64)
        """Pages by the number of their zone and the kind of their holder."""
        self._maps: list[mmap.mmap] = []
        # Frames beyond 16 TiB need more than 32 bits.
        narrow = frames.nr_frames <= np.iinfo(np.uint32).max
        self.table: npt.NDArray[Any] = self._lazy(slots, np.uint32 if narrow else np.int64)
        self.room = Room(len(self.table))
        self.no_frame = int(np.iinfo(self.table.dtype).max)
        self.holder_of_unit: npt.NDArray[np.uint32] = self._lazy(
            slots // SLOTS_PER_UNIT + 1, np.uint32
        )
        self.kind_of: npt.NDArray[np.uint8] = self._lazy(_MOST_HOLDINGS, np.uint8)
        self.pinned_of: npt.NDArray[np.uint8] = self._lazy(_MOST_HOLDINGS, np.uint8)
        self.idle_of: npt.NDArray[np.uint8] = self._lazy(_MOST_HOLDINGS, np.uint8)
        self.mlocked_of: npt.NDArray[np.uint8] = self._lazy(_MOST_HOLDINGS, np.uint8)
        self.mapcount_of: npt.NDArray[np.uint32] = self._lazy(_MOST_HOLDINGS, np.uint32)
        self.live_of: npt.NDArray[np.int32] = self._lazy(_MOST_HOLDINGS, np.int32)

    def _lazy(self, length: int, dtype: Any) -> npt.NDArray[Any]:
        array, backing = lazy_array(length, dtype)
        self._maps.append(backing)
        return array

    def hold(
        self,
        heads: Pfns,
        order: int,
        kind: PageKind,
        owner: str,
    ) -> Holding:
        """Write down that an owner holds these chunks, which were just taken."""
        first = self._slots(len(heads))
        holding = Holding(
            number=self.next_number,
            kind=kind,
            owner=owner,
            order=order,
            first=first,
            count=len(heads),
        )
        self.next_number += 1
        self.holdings[holding.number] = holding
        self.kind_of[holding.number] = KIND_NUMBER[kind]
        self.live_of[holding.number] = len(heads)
        self.mapcount_of[holding.number] = kind.mapped
        self.table[first : first + len(heads)] = heads
        units = -(-len(heads) // SLOTS_PER_UNIT)
        unit = first // SLOTS_PER_UNIT
        self.holder_of_unit[unit : unit + units] = holding.number
        self.frames.link[heads] = np.arange(first, first + len(heads), dtype=np.uint32)
        self._write(heads, order, movable=kind.movable)
        self._count(heads, KIND_NUMBER[kind], 1 << order)
        return holding

    def hold_each(
        self, heads: Pfns, order: int, kind: PageKind, owners: Sequence[str], counts: Sequence[int]
    ) -> list[Holding | None]:
        """Write down that each owner holds so many of these chunks, in order, while there are some.

        As ``hold()`` for one after another; ``None`` for those that got none.
        """
        ends = np.minimum(np.cumsum(counts), len(heads))
        got = np.diff(ends, prepend=0)
        served = int(np.count_nonzero(got))
        if not served:
            return [None] * len(owners)
        got = got[:served]
        units = -(-got // SLOTS_PER_UNIT)
        firsts = self._slots_for_each(units.tolist())
        holdings = [
            Holding(number=number, kind=kind, owner=owner, order=order, first=first, count=count)
            for number, owner, first, count in zip(
                range(self.next_number, self.next_number + served),
                owners,
                firsts,
                got.tolist(),
                strict=False,
            )
        ]
        self._write_down(holdings, heads, got, np.array(firsts))
        self._write(heads, order, movable=kind.movable)
        self._count(heads, KIND_NUMBER[kind], 1 << order)
        return [*holdings, *[None] * (len(owners) - served)]

    def _write_down(
        self,
        holdings: list[Holding],
        heads: Pfns,
        counts: npt.NDArray[np.int64],
        firsts: npt.NDArray[np.int64],
    ) -> None:
        """Fill the tables for new holdings of one kind, whose numbers follow each other."""
        numbers = slice(self.next_number, self.next_number + len(holdings))
        self.next_number = numbers.stop
        self.holdings.update((holding.number, holding) for holding in holdings)
        self.kind_of[numbers] = KIND_NUMBER[holdings[0].kind]
        self.live_of[numbers] = counts
        self.mapcount_of[numbers] = holdings[0].kind.mapped
        slots = each_from(firsts, counts)
        self.table[slots] = heads
        self.frames.link[heads] = slots
        units = -(-counts // SLOTS_PER_UNIT)
        owners = np.repeat(np.arange(numbers.start, numbers.stop, dtype=np.uint32), units)
        self.holder_of_unit[each_from(firsts // SLOTS_PER_UNIT, units)] = owners

    def heads_of_each(self, holdings: Sequence[Holding]) -> Pfns:
        """The first frames of what is left of several holdings, one after the other."""
        if len(holdings) == 1:
            return self.heads(holdings[0])
        firsts = np.array([holding.first for holding in holdings])
        found = self.table[each_from(firsts, np.array([holding.count for holding in holdings]))]
        left: Pfns = found[found != self.no_frame].astype(np.int64)
        return left

    def take_over(self, holding: Holding) -> None:
        """Take a holding as it was saved; ``place()`` tells its frames."""
        self.holdings[holding.number] = holding
        self.kind_of[holding.number] = KIND_NUMBER[holding.kind]
        self.table[holding.first : holding.first + holding.count] = self.no_frame
        unit, units = holding.first // SLOTS_PER_UNIT, -(-holding.count // SLOTS_PER_UNIT)
        self.holder_of_unit[unit : unit + units] = holding.number

    def place(self, heads: Pfns, slots: npt.NDArray[np.uint32]) -> None:
        """Say in which slots of the table the chunks are that begin at these frames."""
        if len(heads) != len(slots):
            raise ValueError("there are not as many slots as chunks")
        self.table[slots] = heads
        self.frames.link[heads] = slots
        numbers = self.holder_of_unit[slots // SLOTS_PER_UNIT]
        kinds = self.kind_of[numbers]
        orders = self.frames.state[heads] & ORDER
        for order in np.unique(orders).tolist():
            mine = orders == order
            self._count(heads[mine], kinds[mine], 1 << order)

    def recount(self) -> None:
        """Count what is left of each holding, once all are placed."""
        for holding in self.holdings.values():
            part = self.table[holding.first : holding.first + holding.count]
            self.live_of[holding.number] = np.count_nonzero(part != self.no_frame)

    def live(self, holding: Holding) -> int:
        """How many chunks of a holding are left."""
        return int(self.live_of[holding.number])

    def heads(self, holding: Holding) -> Pfns:
        """The first frames of what is left of a holding, in the order in which it came."""
        found = self.table[holding.first : holding.first + holding.count]
        left: Pfns = found[found != self.no_frame].astype(np.int64)
        return left

    def numbers_at(self, heads: Pfns) -> npt.NDArray[np.uint32]:
        """The numbers of the holdings that chunks belong to."""
        return self.holder_of_unit[self.frames.link[heads] // SLOTS_PER_UNIT]

    def at(self, head: int) -> Holding:
        """The holding that a chunk belongs to."""
        slot = self.frames.link_view[head]
        return self.holdings[int(self.holder_of_unit[slot // SLOTS_PER_UNIT])]

    def pinned_at(self, heads: Pfns) -> npt.NDArray[np.bool_]:
        """Which chunks somebody keeps from moving."""
        pinned: npt.NDArray[np.bool_] = self.pinned_of[self.numbers_at(heads)] != 0
        return pinned

    def identity(self, head: int) -> tuple[int, int]:
        """What a chunk holds: the number of the holding that it came with, and its page there.

        Never the same for two pages, and the same wherever the content moves.
        """
        holding = self.at(head)
        place = self.frames.link_view[head] - holding.first
        number, before = holding.origin or (holding.number, 0)
        return number, before + (place << holding.order)

    def split(self, head: int) -> Holding:
        """Make single pages of a chunk, which the same owner goes on holding."""
        holding = self.at(head)
        number, page = self.identity(head)
        self.let_go(np.array([head]))
        pages = np.arange(head, head + (1 << holding.order))
        parts = self.hold(pages, 0, _SPLIT.get(holding.kind, holding.kind), holding.owner)
        parts.origin = (number, page)
        parts.shared_with = holding.shared_with
        self._inherit(parts, holding)
        return parts

    def let_go(self, heads: Pfns) -> None:
        """Forget that anybody holds these chunks; a holding without any is gone."""
        slots = self.frames.link[heads]
        self.table[slots] = self.no_frame
        numbers = self.holder_of_unit[slots // SLOTS_PER_UNIT]
        freed = -(1 << int(self.frames.state[heads[0]] & ORDER))
        if (numbers == numbers[0]).all():
            self._count(heads, int(self.kind_of[numbers[0]]), freed)
            numbers, counts = numbers[:1], np.array([len(heads)])
        else:
            self._count(heads, self.kind_of[numbers], freed)
            numbers, counts = np.unique(numbers, return_counts=True)
        left = self.live_of[numbers] - counts
        self.live_of[numbers] = left
        gone = numbers[left == 0]
        self.pinned_of[gone] = 0
        for number in gone.tolist():
            holding = self.holdings.pop(number)
            self.room.give(holding.first, -(-holding.count // SLOTS_PER_UNIT))

    def move(self, old: Pfns, new: Pfns) -> None:
        """Say that what these chunks held is now in those, which were just taken.

        All are of one order. The old frames are left for the caller to free.
        """
        slots = self.frames.link[old]
        self.table[slots] = new
        self.frames.link[new] = slots
        code = self.frames.state[old]
        order = int(code[0] & ORDER)
        kinds = self.kind_of[self.holder_of_unit[slots // SLOTS_PER_UNIT]]
        self._count(old, kinds, -(1 << order))
        self._count(new, kinds, 1 << order)
        if order:
            inside = np.arange(1 << order)
            state = self.frames.state
            state[(new[:, None] + inside).ravel()] = state[(old[:, None] + inside).ravel()]
        else:
            self.frames.state[new] = code

    def swap(self, one: Holding, other: Holding) -> None:
        """Say that two holdings of the same size and order have changed places."""
        here, there = self.heads(one), self.heads(other)
        slots = self.frames.link[here].copy()
        self.frames.link[here] = self.frames.link[there]
        self.frames.link[there] = slots
        self.table[self.frames.link[here]] = here
        self.table[self.frames.link[there]] = there

    def cut(self, holding: Holding, count: int) -> Holding:
        """Make a holding of its own of up to so many chunks, the first that are left in a row."""
        heads = self.heads(holding)
        slots = self.frames.link[heads].astype(np.int64)
        in_a_row = int(np.argmax(np.append(np.diff(slots) != 1, [True]))) + 1
        heads = heads[: min(count, in_a_row)]
        number, page = self.identity(int(heads[0]))
        self.let_go(heads)
        part = self.hold(heads, holding.order, holding.kind, holding.owner)
        part.origin = (number, page)
        part.shared_with = holding.shared_with
        self._inherit(part, holding)
        return part

    def _inherit(self, part: Holding, whole: Holding) -> None:
        """Pin, lock and map a part as the whole was."""
        self.pin(part, pinned=whole.pinned)
        self.mlock(part, mlocked=whole.mlocked)
        self.mapcount_of[part.number] = self.mapcount_of[whole.number]

    def pin(self, holding: Holding, *, pinned: bool = True) -> None:
        """Pin a holding's pages, as ``FOLL_LONGTERM`` does, or let them loose."""
        holding.pinned = pinned
        self.pinned_of[holding.number] = pinned

    def mlock(self, holding: Holding, *, mlocked: bool = True) -> None:
        """Lock a holding's pages in memory, or unlock them: they move all the same."""
        holding.mlocked = mlocked
        self.mlocked_of[holding.number] = mlocked

    def map_again(self, holding: Holding, times: int = 1) -> None:
        """Count that more (or fewer) processes map a holding's pages."""
        self.mapcount_of[holding.number] = int(self.mapcount_of[holding.number]) + times

    def pack(self) -> None:
        """Close the gaps that dead holdings left in the table."""
        place = 0
        for holding in sorted(self.holdings.values(), key=lambda each: each.first):
            units = -(-holding.count // SLOTS_PER_UNIT)
            if place != holding.first:
                part = self.table[holding.first : holding.first + holding.count].copy()
                self.table[place : place + holding.count] = part
                live = part != self.no_frame
                slots = np.arange(place, place + holding.count, dtype=np.uint32)
                self.frames.link[part[live]] = slots[live]
                unit = place // SLOTS_PER_UNIT
                self.holder_of_unit[unit : unit + units] = holding.number
                holding.first = place
            place += units * SLOTS_PER_UNIT
        self.room.begin_at(place)

    def _count(self, heads: Pfns, kinds: npt.NDArray[np.uint8] | int, nr_pages: int) -> None:
        """Count pages by zone and kind; so many for each chunk."""
        zones = self.frames.zone[heads // PAGES_PER_PAGEBLOCK]
        if isinstance(kinds, int) and (zones == zones[0]).all():
            self.counts[zones[0], kinds] += len(heads) * nr_pages
            return
        keys = zones.astype(np.int64) * len(KINDS) + kinds
        number = np.bincount(keys)
        self.counts.reshape(-1)[: len(number)] += number * nr_pages

    def _slots(self, count: int) -> int:
        """Find room in the table for a holding; the table is packed where that helps."""
        units = -(-count // SLOTS_PER_UNIT)
        if not self.room.has_same(units) and self.room.is_better_packed(units):
            self.pack()
        return self.room.take(units)

    def _slots_for_each(self, units: list[int]) -> list[int]:
        """Find room for each of several new holdings; nobody's place changes in between."""
        if self.room.is_better_packed(sum(units)):
            self.pack()
        return self.room.take_each(units)

    def _write(self, heads: Pfns, order: int, *, movable: bool) -> None:
        state = self.frames.state
        if order:
            tail = MOVABLE_TAIL if movable else UNMOVABLE_TAIL
            state[(heads[:, None] + np.arange(1 << order)).ravel()] = tail
        state[heads] = (MOVABLE if movable else UNMOVABLE) | order
