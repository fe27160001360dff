"""The allocator as slow and obvious as can be: a page at a time, lists of plain numbers.

It follows the kernel's functions one by one and shares nothing with the model
but the GFP masks. What the model does in bulk has to give the same frames, the
same lists in the same order, the same counts. ``state`` tells of each frame
what it is, for frames of one machine with a few zones.
"""

from dataclasses import dataclass, field

UNMOVABLE, MOVABLE, RECLAIMABLE, HIGHATOMIC, ISOLATE = range(5)
FALLBACKS = {
    UNMOVABLE: (RECLAIMABLE, MOVABLE),
    MOVABLE: (RECLAIMABLE, UNMOVABLE),
    RECLAIMABLE: (UNMOVABLE, MOVABLE),
}
MAX, BLOCK = 10, 9
PCP_ORDERS = (0, 1, 2, 3, 9)
PINDEX = [(order, mt) for order in PCP_ORDERS for mt in range(3)]


@dataclass
class RefZone:
    name: tuple[int, str]
    start: int
    end: int
    class_index: int
    claims_first: bool
    low: int = 0
    minimum: int = 0
    reserve: tuple[int, ...] = (0, 0, 0, 0, 0)
    batch: int = 1
    high: int = 0
    lists: dict[tuple[int, int], list[int]] = field(default_factory=dict)
    pcp: dict[tuple[int, int], list[int]] = field(default_factory=dict)
    pcp_count: int = 0
    free: int = 0


class Reference:
    """Zones, the type of each pageblock, and who is free, held or waiting."""

    def __init__(self, zones: list[RefZone]) -> None:
        self.zones = zones
        self.block_type: dict[int, int] = {}
        self.order_of: dict[int, int] = {}
        """The heads of free chunks."""
        self.list_of: dict[int, int] = {}
        self.movable: set[int] = set()
        """Frames in use by movable pages."""
        for zone in zones:
            for key in ((order, mt) for order in range(MAX + 1) for mt in range(5)):
                zone.lists[key] = []
            zone.pcp = {key: [] for key in PINDEX}
            for block in range(zone.start >> BLOCK, zone.end >> BLOCK):
                self.block_type[block] = MOVABLE
            for pfn in range(zone.start, zone.end, 1 << MAX):
                self._add(zone, pfn, MAX, MOVABLE, tail=True)
                zone.free += 1 << MAX

    def zone_of(self, pfn: int) -> RefZone:
        return next(zone for zone in self.zones if zone.start <= pfn < zone.end)

    # get_page_from_freelist(), once a page

    def alloc(self, zonelist: list[RefZone], order: int, mt: int, cls: int) -> int | None:
        for minimum in (False, True):
            pfn = self._pass(zonelist, order, mt, cls, minimum)
            if pfn is not None:
                if mt == MOVABLE:
                    self.movable.update(range(pfn, pfn + (1 << order)))
                return pfn
        return None

    def _pass(
        self, zonelist: list[RefZone], order: int, mt: int, cls: int, minimum: bool
    ) -> int | None:
        nodes = {zone.name[0] for zone in self.zones}
        first = zonelist[0]
        has_dma32 = any(z.name == (first.name[0], "DMA32") for z in self.zones)
        nofragment = first.name[1] == "Normal" and (len(nodes) == 1 or has_dma32)
        while True:
            again = False
            for zone in zonelist:
                if nofragment and len(nodes) > 1 and zone.name[0] != first.name[0]:
                    nofragment, again = False, True
                    break
                mark = (zone.minimum if minimum else zone.low) + zone.reserve[cls]
                if zone.free - ((1 << order) - 1) <= mark:
                    continue
                pfn = self._rmqueue(zone, order, mt, nofragment)
                if pfn is not None:
                    return pfn
            if again:
                continue
            if not nofragment:
                return None
            nofragment = False

    def _rmqueue(self, zone: RefZone, order: int, mt: int, nofragment: bool) -> int | None:
        if order not in PCP_ORDERS:
            return self._rmqueue_buddy(zone, order, mt, nofragment, ["normal"])
        waiting = zone.pcp[order, mt]
        if not waiting:
            mode = ["normal"]
            batch = max(zone.batch >> order, 2) if zone.batch > 1 else 1
            for _ in range(batch):
                pfn = self._rmqueue_buddy(zone, order, mt, nofragment, mode)
                if pfn is None:
                    break
                waiting.append(pfn)
                zone.pcp_count += 1 << order
        if not waiting:
            return None
        zone.pcp_count -= 1 << order
        return waiting.pop(0)

    # __rmqueue() and what it calls

    def _rmqueue_buddy(
        self, zone: RefZone, order: int, mt: int, nofragment: bool, mode: list[str]
    ) -> int | None:
        if not zone.claims_first:
            while True:
                pfn = self._smallest(zone, order, mt)
                if pfn is not None or not self._fallback_61(zone, order, mt, nofragment):
                    return pfn
        if mode[0] == "normal":
            pfn = self._smallest(zone, order, mt)
            if pfn is None:
                pfn = self._claim(zone, order, mt, nofragment)
            if pfn is not None:
                return pfn
        if nofragment:
            return None
        pfn = self._steal(zone, order, mt)
        if pfn is not None:
            mode[0] = "steal"
        return pfn

    def _smallest(self, zone: RefZone, order: int, mt: int) -> int | None:
        for larger in range(order, MAX + 1):
            if zone.lists[larger, mt]:
                return self._del_and_expand(zone, zone.lists[larger, mt][0], larger, order, mt)
        return None

    def _del_and_expand(self, zone: RefZone, pfn: int, larger: int, order: int, mt: int) -> int:
        self._del(zone, pfn)
        while larger > order:
            larger -= 1
            self._add(zone, pfn + (1 << larger), larger, mt)
        zone.free -= 1 << order
        return pfn

    def _fallback_type(self, zone: RefZone, order: int, mt: int) -> int | None:
        return next((fb for fb in FALLBACKS[mt] if zone.lists[order, fb]), None)

    @staticmethod
    def _can_steal(order: int, mt: int) -> bool:
        return order >= BLOCK // 2 or mt in {UNMOVABLE, RECLAIMABLE}

    def _claim(self, zone: RefZone, order: int, mt: int, nofragment: bool) -> int | None:
        least = max(order, BLOCK) if nofragment else order
        for larger in range(MAX, least - 1, -1):
            other = self._fallback_type(zone, larger, mt)
            if other is None:
                continue
            if not self._can_steal(larger, mt):
                break
            pfn = zone.lists[larger, other][0]
            if larger >= BLOCK:
                self._del(zone, pfn)
                self._change_types(pfn, larger, mt)
                zone.free -= 1 << order
                size = larger
                while size > order:
                    size -= 1
                    self._add(zone, pfn + (1 << size), size, mt)
                return pfn
            if self._enough(pfn, mt):
                self._move_block(zone, pfn, mt)
                self._change_types(pfn, BLOCK, mt)
                return self._smallest(zone, order, mt)
        return None

    def _steal(self, zone: RefZone, order: int, mt: int) -> int | None:
        for larger in range(order, MAX + 1):
            other = self._fallback_type(zone, larger, mt)
            if other is not None:
                pfn = zone.lists[larger, other][0]
                return self._del_and_expand(zone, pfn, larger, order, other)
        return None

    def _fallback_61(self, zone: RefZone, order: int, mt: int, nofragment: bool) -> bool:
        least = max(order, BLOCK) if nofragment else order
        for larger in range(MAX, least - 1, -1):
            other = self._fallback_type(zone, larger, mt)
            if other is None:
                continue
            found, size = other, larger
            if not self._can_steal(larger, mt) and mt == MOVABLE and larger > order:
                for size in range(order, MAX + 1):
                    smaller = self._fallback_type(zone, size, mt)
                    if smaller is not None:
                        found = smaller
                        break
            # can_steal is that of the order found last.
            self._bring_over(zone, zone.lists[size, found][0], size, mt)
            return True
        return False

    def _bring_over(self, zone: RefZone, pfn: int, order: int, mt: int) -> None:
        if order >= BLOCK:
            self._change_types(pfn, order, mt)
            self._move(zone, pfn, mt)
        elif not self._can_steal(order, mt):
            self._move(zone, pfn, mt)
        else:
            enough = self._enough(pfn, mt)
            self._move_block(zone, pfn, mt)
            if enough:
                self._change_types(pfn, BLOCK, mt)

    def _enough(self, pfn: int, mt: int) -> bool:
        start = pfn >> BLOCK << BLOCK
        free = sum(1 << self.order_of.get(p, -99) for p in self._heads(start))
        movable = sum(1 for p in range(start, start + 512) if p in self.movable)
        if mt == MOVABLE:
            alike = movable
        elif self.block_type[pfn >> BLOCK] == MOVABLE:
            alike = 512 - free - movable
        else:
            alike = 0
        return free + alike >= 256

    def _heads(self, start: int) -> list[int]:
        return [p for p in range(start, start + 512) if p in self.order_of]

    def _move_block(self, zone: RefZone, pfn: int, mt: int) -> None:
        for head in self._heads(pfn >> BLOCK << BLOCK):
            self._move(zone, head, mt)

    def _move(self, zone: RefZone, pfn: int, mt: int) -> None:
        order = self.order_of[pfn]
        self._del(zone, pfn)
        self._add(zone, pfn, order, mt, tail=True)

    def _change_types(self, pfn: int, order: int, mt: int) -> None:
        for block in range(max(1, (1 << order) >> BLOCK)):
            self.block_type[(pfn >> BLOCK) + block] = mt

    # What free_unref_page() and __free_one_page() do.

    def free(self, pfn: int, order: int) -> None:
        self.movable.difference_update(range(pfn, pfn + (1 << order)))
        zone = self.zone_of(pfn)
        if order not in PCP_ORDERS:
            for part in range(pfn, pfn + (1 << order), 1 << min(order, BLOCK)):
                self._free_one(zone, part, min(order, BLOCK))
            return
        mt = self.block_type[pfn >> BLOCK]
        zone.pcp[order, mt].insert(0, pfn)
        zone.pcp_count += 1 << order
        if zone.pcp_count >= zone.high:
            self._pcp_bulk(zone, zone.batch if zone.high >= zone.batch else 1, (order, mt))

    def _pcp_bulk(self, zone: RefZone, count: int, key: tuple[int, int]) -> None:
        count = min(count, zone.pcp_count)
        at = PINDEX.index(key)
        while count > 0:
            while not zone.pcp[PINDEX[at]]:
                at = (at + 1) % len(PINDEX)
            order, _ = PINDEX[at]
            while count > 0 and zone.pcp[PINDEX[at]]:
                pfn = zone.pcp[PINDEX[at]].pop()
                zone.pcp_count -= 1 << order
                count -= 1 << order
                self._free_one(zone, pfn, order)

    def drain(self) -> None:
        for zone in self.zones:
            for key in PINDEX:
                while zone.pcp[key]:
                    self._free_one(zone, zone.pcp[key].pop(), key[0])
            zone.pcp_count = 0

    def _free_one(self, zone: RefZone, pfn: int, order: int) -> None:
        mt = self.block_type[pfn >> BLOCK]
        zone.free += 1 << order
        while order < MAX:
            buddy = pfn ^ (1 << order)
            if self.order_of.get(buddy) != order or self.zone_of(buddy) is not zone:
                break
            self._del(zone, buddy)
            if order >= BLOCK:
                self._change_types(buddy, order, mt)
            pfn &= buddy
            order += 1
        higher = (pfn & ~(1 << order)) ^ (1 << (order + 1))
        tail = order < MAX - 1 and self.order_of.get(higher) == order + 1
        self._add(zone, pfn, order, mt, tail=tail)

    # free lists, the head at index 0

    def _add(self, zone: RefZone, pfn: int, order: int, mt: int, *, tail: bool = False) -> None:
        self.order_of[pfn], self.list_of[pfn] = order, mt
        entries = zone.lists[order, mt]
        entries.insert(len(entries) if tail else 0, pfn)

    def _del(self, zone: RefZone, pfn: int) -> None:
        order, mt = self.order_of.pop(pfn), self.list_of.pop(pfn)
        zone.lists[order, mt].remove(pfn)
