"""Moving what Linux cannot move: vmalloc data, and kernel memory itself.

Two switches that no kernel has. ``migrate_vmalloc``: pages of vmalloc are
reached through page tables alone, so a new frame is a new entry. ``migrate_kernel``
gives up the fixed relation between the kernel's addresses and frames: slab,
page tables, stacks, per-cpu data, memory maps and vmalloc move, the direct map
leads elsewhere where they lay (``kernel_map.py``), and is split into entries
of 4 KiB there. What stays: buffers that a device writes to, what booting
reserved (the kernel's text among it), and kernel pages of which nobody knows
what they are for.

What this gains is an upper bound: that content and addresses stay the same is
bookkeeping here, and no proof that a kernel could do it.
"""

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from memhp.core.geometry import NodeId
from memhp.model.kernel import Settings
from memhp.model.pages.allocate import Request
from memhp.model.pages.area import Area
from memhp.model.pages.frames import CLASS, ORDER, UNMOVABLE, Pfns
from memhp.model.pages.gfp import GFP_KERNEL, GFP_RECLAIMABLE
from memhp.model.pages.pages import Pages
from memhp.model.pages.words import KIND_NUMBER, KINDS, PageKind

_RECLAIMABLE: Final = KIND_NUMBER[PageKind.SLAB_RECLAIMABLE]
KERNEL_KINDS: Final = frozenset(
    {
        PageKind.SLAB,
        PageKind.SLAB_RECLAIMABLE,
        PageKind.PAGE_TABLE,
        PageKind.KERNEL_TABLE,
        PageKind.STACK,
        PageKind.PERCPU,
        PageKind.MEMMAP,
        PageKind.VMALLOC,
    }
)
"""What moves with ``migrate_kernel``."""


@dataclass(slots=True, kw_only=True)
class MoveCosts:
    """What moving pages has cost so far.

    ``copied`` counts pages by kind; each move of a kernel chunk stalls whoever
    uses it for one shootdown over all processors; ``split_units`` are entries
    of 2 MiB that became 512 of 4 KiB.
    """

    copied: dict[PageKind, int] = field(default_factory=dict)
    shootdowns: int = 0
    split_units: int = 0


@dataclass(frozen=True, slots=True)
class Moved:
    """Chunks of the kernel that moved: from where, to where, of which kinds, and their order."""

    old: Pfns
    new: Pfns
    kinds: Pfns
    order: int


def movable_kinds(settings: Settings) -> frozenset[PageKind]:
    """The kinds of kernel pages that the switches allow to move."""
    if settings.migrate_kernel:
        return KERNEL_KINDS
    return frozenset({PageKind.VMALLOC}) if settings.migrate_vmalloc else frozenset()


def kernel_heads(pages: Pages, start: int, end: int) -> Pfns:
    """The first frames of the chunks in a range that only a switch lets move."""
    codes = pages.frames.state[start:end]
    (places,) = np.nonzero(codes & CLASS == UNMOVABLE)
    heads = places + start
    kinds = pages.holders.kind_of[pages.holders.numbers_at(heads)]
    chosen: Pfns = heads[np.isin(kinds, [KIND_NUMBER[kind] for kind in pages.also_movable])]
    return chosen


def move_kernel_pages(
    pages: Pages, area: Area, targets: frozenset[NodeId], start: int, end: int
) -> list[Moved]:
    """Move the kernel's chunks out of an isolated range as far as there is room.

    Content is where the new frames are, and the old ones are free; that
    addresses lead there is for the caller to see to.
    """
    if not pages.also_movable:
        return []
    heads = kernel_heads(pages, start, end)
    orders = pages.frames.state[heads] & ORDER
    kinds = pages.holders.kind_of[pages.holders.numbers_at(heads)]
    moved = []
    for order in np.unique(orders).tolist():
        for reclaimable in (False, True):
            chosen = (orders == order) & ((kinds == _RECLAIMABLE) == reclaimable)
            request = Request(
                gfp=GFP_RECLAIMABLE if reclaimable else GFP_KERNEL,
                order=order,
                count=int(np.count_nonzero(chosen)),
                node=area.node,
                nodes=targets,
            )
            if request.count:
                moved.append(_move(pages, heads[chosen], kinds[chosen].astype(np.int64), request))
    return moved


def count_moved(costs: MoveCosts, moved: Moved) -> None:
    """Add to the costs what a move took."""
    for number, count in zip(*np.unique(moved.kinds, return_counts=True), strict=True):
        kind = KINDS[int(number)]
        costs.copied[kind] = costs.copied.get(kind, 0) + (int(count) << moved.order)
    costs.shootdowns += len(moved.old)


def _move(pages: Pages, heads: Pfns, kinds: Pfns, request: Request) -> Moved:
    targets = pages.take(request)
    old = heads[: len(targets)]
    if len(old):
        pages.holders.move(old, targets)
        pages.give_back(old, request.order)
    return Moved(old, targets, kinds[: len(targets)], request.order)
