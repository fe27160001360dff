"""Requests for pages: which zones are tried in which order, and how far each gives.

Source: ``get_page_from_freelist()``, ``__zone_watermark_ok()``,
``alloc_flags_nofragment()``, ``build_zonelists()``.

Model: nothing is reclaimed, compacted or killed; a request that finds no page
between the low and then the minimum marks gets none.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from memhp.core.geometry import NodeId
from memhp.core.words import ZoneType
from memhp.model.pages.area import NONE, Area, per_cpu_order
from memhp.model.pages.frames import Pfns
from memhp.model.pages.gfp import Gfp, highest_zone, migratetype_of
from memhp.model.pages.per_cpu import Mixing, take_cached
from memhp.model.pages.take import take, write_used
from memhp.model.pages.words import MigrateType, PageKind

_NO_MARK: Final = -(1 << 60)
_FREELY: Final = (Mixing.FREELY,)
_CAREFUL: Final = (Mixing.NEVER, Mixing.AT_LAST)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """``count`` chunks of one order for a task on a processor of ``node``.

    ``nodes`` limits where they may come from (a nodemask); ``Gfp.THISNODE``
    limits them to ``node``.
    """

    gfp: Gfp
    node: NodeId
    order: int = 0
    count: int = 1
    cpu: int = 0
    nodes: frozenset[NodeId] | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, and whom and what it is for: one of a batch."""

    request: Request
    kind: PageKind
    owner: str


@dataclass(frozen=True, slots=True)
class Route:
    """What follows from a request's mask and node: which zones it tries, and how.

    ``careful``: types are not mixed in the first zones as long as that can be
    avoided; ``zone_class`` is the place of the best zone that it could use.
    """

    areas: tuple[Area, ...]
    zone_class: int
    migratetype: MigrateType
    careful: bool
    several_nodes: bool
    no_marks: bool
    deep: bool


def route_of(zonelist: list[Area], request: Request, *, several_nodes: bool) -> Route:
    """Find the route of a request; ``zonelist`` holds the populated zones for its node."""
    areas = tuple(area for area in zonelist if _may_use(area, request))
    return Route(
        areas=areas,
        zone_class=highest_zone(request.gfp).order,
        migratetype=migratetype_of(request.gfp),
        careful=_avoids_mixing(areas, several_nodes=several_nodes),
        several_nodes=several_nodes,
        no_marks=bool(request.gfp & Gfp.MEMALLOC),
        deep=bool(request.gfp & Gfp.HIGH),
    )


def allocate(route: Route, request: Request) -> Pfns:
    """Take chunks for a request, as many requests in a row would get them; may find fewer.

    Their frames still say free; the caller writes what they become.
    """
    got = _pass(route, request, request.count, minimum=False)
    if len(got) == request.count:
        return got
    more = _pass(route, request, request.count - len(got), minimum=True)
    return np.concatenate((got, more)) if len(got) else more


def _may_use(area: Area, request: Request) -> bool:
    """Whether a request may take from a zone at all."""
    if area.zone.order > highest_zone(request.gfp).order:
        return False
    if request.gfp & Gfp.THISNODE and area.node != request.node:
        return False
    return request.nodes is None or area.node in request.nodes


def _avoids_mixing(areas: tuple[Area, ...], *, several_nodes: bool) -> bool:
    """``ALLOC_NOFRAGMENT``: in Normal, where there is a DMA32 to turn to first."""
    if not areas or areas[0].zone is not ZoneType.NORMAL:
        return False
    first = areas[0].node
    return not several_nodes or any(
        area.zone is ZoneType.DMA32 and area.node == first for area in areas
    )


def _pass(route: Route, request: Request, wanted: int, *, minimum: bool) -> Pfns:
    """One walk over the zones; where mixing types was avoided, one more in which it is not."""
    parts: list[Pfns] = []
    for mixing in _CAREFUL if route.careful else _FREELY:
        for area in route.areas:
            if mixing is Mixing.NEVER and route.several_nodes and area.node != route.areas[0].node:
                # Rather mix types than go to another node.
                break
            part = _from_area(area, route, request, (wanted, minimum), mixing)
            if len(part) == wanted and not parts:
                return part
            wanted -= len(part)
            parts.append(part)
            if wanted == 0:
                return np.concatenate(parts)
            write_used(area, part, request.order, route.migratetype)
    return np.concatenate(parts) if parts else NONE


def _from_area(
    area: Area, route: Route, request: Request, wanted: tuple[int, bool], mixing: Mixing
) -> Pfns:
    """Take up to so many chunks from a zone, down to the low or to the minimum mark."""
    limit = _limit(area, route, request.order, minimum=wanted[1])
    order, migratetype = request.order, route.migratetype
    if per_cpu_order(order):
        cpu = request.cpu
        return take_cached(area, cpu, order, migratetype, wanted[0], limit=limit, mixing=mixing)
    if area.free <= limit:
        return NONE
    allowed = min(wanted[0], -((limit - area.free) // (1 << order)))
    return take(area, order, migratetype, allowed, nofragment=mixing is Mixing.NEVER)


def _limit(area: Area, route: Route, order: int, *, minimum: bool) -> int:
    """``free`` has to be above this for a chunk to be taken.

    Model: what ``GFP_ATOMIC`` may take beyond half of the minimum is left out.
    """
    if route.no_marks:
        return _NO_MARK
    mark = area.marks.low
    if minimum:
        mark = area.marks.minimum
        if route.deep:
            mark -= mark // 2
    return mark + area.marks.reserve[route.zone_class] + (1 << order) - 1
