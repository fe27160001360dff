"""All pages of a machine: the door through which the rest of the model reaches them."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Final

import numpy as np

from memhp.core.geometry import NodeId
from memhp.core.words import ZoneType
from memhp.model.page_tables import Structure
from memhp.model.pages.allocate import Asked, Request, Route, allocate, route_of
from memhp.model.pages.area import Area, per_cpu_order
from memhp.model.pages.frames import CLASS, MOVABLE, ORDER, UNMOVABLE, Bytes, Frames, Pfns
from memhp.model.pages.give import give
from memhp.model.pages.holders import Holders
from memhp.model.pages.holding import Holding
from memhp.model.pages.per_cpu import drain, give_cached
from memhp.model.pages.words import MigrateType, PageKind

_HELD: Final = (MOVABLE, UNMOVABLE)


class Pages:
    """The allocator of every zone, and who holds what it gave out.

    ``areas`` has a zone's part at its number less one (``Frames.zone``);
    ``fallback_order`` the nodes to try for each node, itself first.
    """

    def __init__(self, frames: Frames, *, claims_apart: bool) -> None:
        self.frames = frames
        self.claims_apart = claims_apart
        self.holders = Holders(frames)
        self.structures: dict[Structure, Holding] = {}
        self.also_movable: frozenset[PageKind] = frozenset()
        """Kinds that only a switch lets move."""
        self.areas: list[Area] = []
        self.fallback_order: dict[NodeId, tuple[NodeId, ...]] = {}
        self.several_nodes = False
        self._by_key: dict[tuple[NodeId, ZoneType], Area] = {}
        self._zonelists: dict[NodeId, list[Area]] = {}
        self._routes: dict[tuple[NodeId, int, frozenset[NodeId] | None], Route] = {}

    def area(self, node: NodeId, zone: ZoneType) -> Area:
        """The part of a zone, made where it is new."""
        found = self._by_key.get((node, zone))
        if found is None:
            found = Area(
                self.frames, len(self.areas) + 1, node, zone, claims_apart=self.claims_apart
            )
            self.areas.append(found)
            self._by_key[node, zone] = found
            self.rebuild_zonelists()
        return found

    def area_of(self, pfn: int) -> Area | None:
        """The zone that a frame is in."""
        number = self.frames.zone_of(pfn)
        return self.areas[number - 1] if number else None

    def allocate(
        self, request: Request, kind: PageKind = PageKind.KERNEL, owner: str = "kernel"
    ) -> Holding | None:
        """Allocate for an owner; the holding may have fewer chunks than asked; ``None`` for none.

        As many single requests in a row would get them, to the frame.
        """
        heads = self.take(request)
        if not len(heads):
            return None
        return self.holders.hold(heads, request.order, kind, owner)

    def allocate_all(self, asked: Sequence[Asked]) -> list[Holding | None]:
        """Allocate for each of a batch, as one after another would get it, to the frame.

        Those in a row that differ in no more than owner and number are taken at once.
        """
        found: list[Holding | None] = []
        for mine in _alike(asked):
            request, kind = mine[0].request, mine[0].kind
            counts = [each.request.count for each in mine]
            heads = self.take(replace(request, count=sum(counts)))
            owners = [each.owner for each in mine]
            found += self.holders.hold_each(heads, request.order, kind, owners, counts)
        return found

    def take(self, request: Request) -> Pfns:
        """Take chunks without saying who holds them: the caller does, before anything else."""
        key = (request.node, request.gfp.value, request.nodes)
        route = self._routes.get(key)
        if route is None:
            zonelist = self.zonelist(request.node)
            route = route_of(zonelist, request, several_nodes=self.several_nodes)
            self._routes[key] = route
        return allocate(route, request)

    def free(self, holding: Holding, cpu: int = 0) -> None:
        """Free all that is left of a holding."""
        self.free_pages(self.holders.heads(holding), cpu)

    def free_all(self, holdings: Sequence[Holding], cpu: int = 0) -> None:
        """Free all that is left of each, in this order."""
        for _, run in groupby(holdings, lambda holding: holding.order):
            self.free_pages(self.holders.heads_of_each(list(run)), cpu)

    def free_pages(self, heads: Pfns, cpu: int = 0) -> None:
        """Free chunks of one order, in this order, whoever holds them.

        A frame that is no chunk's first, or held by nobody, raises ``ValueError``.
        """
        if not len(heads):
            return
        codes = self.frames.state[heads]
        order = int(codes[0] & ORDER)
        alike = (codes == codes[0]).all() and codes[0] & CLASS in _HELD
        if not alike and not _held(codes, order):
            raise ValueError("only chunks of one order that somebody holds can be freed")
        self.holders.let_go(heads)
        self.give_back(heads, order, cpu)

    def give_back(self, heads: Pfns, order: int, cpu: int = 0) -> None:
        """Give chunks that nobody holds any more to the allocator (``free_unref_page()``)."""
        numbers = self.frames.zone[heads // 512]
        if (numbers == numbers[0]).all():
            self._give_to(self.areas[int(numbers[0]) - 1], heads, order, cpu)
            return
        for number in np.unique(numbers).tolist():
            self._give_to(self.areas[number - 1], heads[numbers == number], order, cpu)

    def _give_to(self, area: Area, heads: Pfns, order: int, cpu: int) -> None:
        if not per_cpu_order(order):
            give(area, heads, order)
            return
        if area.isolated_blocks:
            isolated = self.frames.migratetype[heads // 512] == MigrateType.ISOLATE
            if isolated.any():
                give(area, heads[isolated], order)
                heads = heads[~isolated]
        if len(heads):
            give_cached(area, cpu, heads, order)

    def drain(self) -> None:
        """Give back all that waits on per-cpu lists (``drain_all_pages()``)."""
        for area in self.areas:
            drain(area)

    def zonelist(self, node: NodeId) -> list[Area]:
        """Every populated zone in the order in which a task on a node tries them."""
        found = self._zonelists.get(node)
        if found is None:
            found = [
                area
                for near in self.fallback_order.get(node, ())
                for zone in reversed(ZoneType)
                if (area := self._by_key.get((near, zone))) is not None and area.populated
            ]
            self._zonelists[node] = found
        return found

    def rebuild_zonelists(self) -> None:
        """Look at nodes and zones anew (``build_all_zonelists()``)."""
        self._zonelists.clear()
        self._routes.clear()


def _alike(asked: Sequence[Asked]) -> Iterator[Sequence[Asked]]:
    """Cut a batch where one asks for something else than the one before."""
    start = 0
    for at in range(1, len(asked)):
        one, other = asked[at - 1], asked[at]
        same = one.request is other.request or _form(one.request) == _form(other.request)
        if not same or one.kind is not other.kind:
            yield asked[start:at]
            start = at
    if asked:
        yield asked[start:]


def _form(request: Request) -> tuple[object, ...]:
    """All of a request but how many chunks it is for."""
    return request.gfp, request.node, request.order, request.cpu, request.nodes


def _held(codes: Bytes, order: int) -> bool:
    """Whether all of these are heads of chunks of one order that somebody holds."""
    return bool((np.isin(codes & CLASS, _HELD) & (codes & ORDER == order)).all())
