"""Migration: where the pages of a block that goes offline go, and how they get there.

Source: ``scan_movable_pages()``, ``do_migrate_range()``,
``alloc_migration_target()``, ``migrate_pages()``.

Model: base pages come first, then larger ones; the ten passes of
``migrate_pages()`` are one, since nothing changes between them; huge pages
that find no room whole are split and their pages moved one by one.
"""

import numpy as np

from memhp.core.geometry import NodeId
from memhp.core.words import ZoneType
from memhp.model.page_level import Left
from memhp.model.pages.allocate import Request
from memhp.model.pages.area import NONE, Area
from memhp.model.pages.frames import CLASS, MOVABLE, ORDER, Pfns
from memhp.model.pages.gfp import GFP_HIGHUSER_MOVABLE, Gfp
from memhp.model.pages.hugetlb import HugetlbPool, node_of
from memhp.model.pages.pages import Pages
from memhp.model.pages.words import HUGETLB_KINDS, KIND_NUMBER, PageKind


def move_out(
    pages: Pages, pool: HugetlbPool, targets: frozenset[NodeId], start: int, end: int
) -> Left:
    """Migrate every movable page of an isolated range, once; says what is left.

    ``targets`` are the nodes to which they may go.
    """
    area = pages.area_of(start)
    if area is None:
        return Left()
    heads = movable_heads(pages, start, end)
    pinned = pages.holders.pinned_at(heads)
    stuck = pages_in(pages, heads[pinned])
    heads = heads[~pinned]
    heads = _move_hugetlb(pages, pool, area, heads, targets)
    orders = pages.frames.state[heads] & ORDER
    moved = no_room = 0
    for order in np.unique(orders).tolist():
        chosen = heads[orders == order]
        went = _move(pages, area, chosen, order, targets)
        moved += went << order
        for head in chosen[went:].tolist():
            parts = _split(pages, head)
            went = _move(pages, area, parts, 0, targets) if len(parts) else 0
            moved += went
            no_room += (1 << order) - went
    left = pages_in(pages, _in_use(pages, movable_heads(pages, start, end)))
    if left == 0:
        # Only now: as long as something is found that moves, the kernel goes on with that.
        pool.dissolve(pages, start, end)
    return Left(moved=moved, no_room=max(no_room, left - stuck), pinned=stuck)


def _move_hugetlb(
    pages: Pages, pool: HugetlbPool, area: Area, heads: Pfns, targets: frozenset[NodeId]
) -> Pfns:
    """Move huge pages of the pools; gives the chunks that are none.

    To a free page of the pool on a node that is allowed, the last freed one,
    though it lie in the range itself; else, but for those of 1 GiB, to a new
    one. (``alloc_hugetlb_folio_nodemask()``)
    """
    kinds = pages.holders.kind_of[pages.holders.numbers_at(heads)]
    huge = np.isin(kinds, [KIND_NUMBER[kind] for kind in HUGETLB_KINDS])
    if not huge.any():
        return heads
    for number in np.unique(pages.holders.numbers_at(heads[huge])).tolist():
        holding = pages.holders.holdings[number]
        if pages.holders.idle_of[number]:
            continue
        idle = pool.find(pages, holding.kind, targets)
        if idle is not None:
            pool.exchange(pages, holding, idle)
        elif holding.kind is PageKind.HUGETLB:
            _move(pages, area, pages.holders.heads(holding), holding.order, targets)
            pool.moved(holding.kind, area.node, node_of(pages, holding))
    return heads[~huge]


def targets_of(area: Area, nodes: frozenset[NodeId]) -> frozenset[NodeId]:
    """Where pages of a zone may go: to every other node with memory, to its own if there is none.

    Never to its own while there is another, full or not (``do_migrate_range()``).
    """
    others = nodes - {area.node}
    return others or frozenset({area.node})


def movable_heads(pages: Pages, start: int, end: int) -> Pfns:
    """The first frames of the movable chunks in a range, ascending."""
    (places,) = np.nonzero(pages.frames.state[start:end] & CLASS == MOVABLE)
    return places + start


def _in_use(pages: Pages, heads: Pfns) -> Pfns:
    """Those of the chunks that are no free pages of a pool."""
    used: Pfns = heads[pages.holders.idle_of[pages.holders.numbers_at(heads)] == 0]
    return used


def pages_in(pages: Pages, heads: Pfns) -> int:
    """Count the pages of chunks."""
    orders = pages.frames.state[heads] & ORDER
    return int(np.left_shift(1, orders, dtype=np.int64).sum())


def _split(pages: Pages, head: int) -> Pfns:
    """Split a transparent huge page, which found no room whole; nothing else can be split."""
    holding = pages.holders.at(head)
    if holding.kind is not PageKind.THP:
        return NONE
    return pages.holders.heads(pages.holders.split(head))


def _move(pages: Pages, area: Area, heads: Pfns, order: int, nodes: frozenset[NodeId]) -> int:
    """Move chunks of one order as far as there is room; gives how many went."""
    request = Request(
        gfp=mask_for(area, order),
        order=order,
        count=len(heads),
        node=area.node,
        nodes=nodes,
    )
    targets = pages.take(request)
    old = heads[: len(targets)]
    if len(old):
        pages.holders.move(old, targets)
        pages.give_back(old, order)
    return len(old)


def mask_for(area: Area, order: int) -> Gfp:
    """Base pages from a kernel zone are not let into ``ZONE_MOVABLE``; larger ones are."""
    if area.zone is ZoneType.MOVABLE or order:
        return GFP_HIGHUSER_MOVABLE
    return Gfp.MOVABLE
