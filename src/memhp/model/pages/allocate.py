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

_NO_MARK: Final = -(1 << 60)


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


def allocate(zonelist: list[Area], request: Request, *, several_nodes: bool) -> Pfns:
    """Take chunks for a request, as many requests in a row would get them; may find fewer.

    ``zonelist`` holds the populated zones that the request may use, in order.
    Their frames still say free; the caller writes what they become.
    """
    parts: list[Pfns] = []
    wanted = request.count
    for minimum in (False, True):
        got = _pass(zonelist, request, wanted, minimum=minimum, several_nodes=several_nodes)
        wanted -= len(got)
        parts.append(got)
        if wanted == 0:
            break
    return np.concatenate(parts) if len(parts) > 1 else parts[0]


def may_use(area: Area, request: Request) -> bool:
    """Whether a request may take from a zone at all."""
    if area.zone.order > highest_zone(request.gfp).order:
        return False
    if request.gfp & Gfp.THISNODE and area.node != request.node:
        return False
    return request.nodes is None or area.node in request.nodes


def _pass(
    zonelist: list[Area], request: Request, wanted: int, *, minimum: bool, several_nodes: bool
) -> Pfns:
    """One walk over the zones; where mixing types was avoided, one more in which it is not."""
    parts: list[Pfns] = []
    careful = _avoids_mixing(zonelist, several_nodes=several_nodes)
    for mixing in (Mixing.NEVER, Mixing.AT_LAST) if careful else (Mixing.FREELY,):
        for area in zonelist:
            elsewhere = several_nodes and area.node != zonelist[0].node
            if mixing is Mixing.NEVER and elsewhere:
                # Rather mix types than go to another node.
                break
            limit = _limit(area, request, minimum=minimum)
            part = _from_area(area, request, wanted, limit, mixing)
            wanted -= len(part)
            parts.append(part)
            if wanted == 0:
                break
            write_used(area, part, request.order, migratetype_of(request.gfp))
        if wanted == 0:
            break
    filled = [part for part in parts if len(part)]
    if len(filled) == 1:
        return filled[0]
    return np.concatenate(filled) if filled else NONE


def _avoids_mixing(zonelist: list[Area], *, several_nodes: bool) -> bool:
    """``ALLOC_NOFRAGMENT``: in Normal, where there is a DMA32 to turn to first."""
    if not zonelist or zonelist[0].zone is not ZoneType.NORMAL:
        return False
    first = zonelist[0].node
    return not several_nodes or any(
        area.zone is ZoneType.DMA32 and area.node == first for area in zonelist
    )


def _from_area(area: Area, request: Request, wanted: int, limit: int, mixing: Mixing) -> Pfns:
    order = request.order
    migratetype = migratetype_of(request.gfp)
    if per_cpu_order(order):
        return take_cached(
            area, request.cpu, order, migratetype, wanted, limit=limit, mixing=mixing
        )
    if area.free <= limit:
        return NONE
    allowed = -((limit - area.free) // (1 << order))
    nofragment = mixing is Mixing.NEVER
    return take(area, order, migratetype, min(wanted, allowed), nofragment=nofragment)


def _limit(area: Area, request: Request, *, minimum: bool) -> int:
    """``free`` has to be above this for a chunk to be taken.

    Model: what ``GFP_ATOMIC`` may take beyond half of the minimum is left out.
    """
    if request.gfp & Gfp.MEMALLOC:
        return _NO_MARK
    mark = area.marks.low
    if minimum:
        mark = area.marks.minimum
        if request.gfp & Gfp.HIGH:
            mark -= mark // 2
    reserve = area.marks.reserve[highest_zone(request.gfp).order]
    return mark + reserve + (1 << request.order) - 1
