"""What runs on the machine while policies are compared: the same requests under every policy.

It is the workload "mixed" (``memhp.model.pages.mixed``), a few requests at a time: each is
cut into pieces, and the pieces of all come in random order, as those of
programs that run at the same time do; the kernel's are for owners of their own,
and what is mapped page by page gets a page table for every 512.
Memory is filled to a peak first, for it was nearly full once on any server that
caches files. Then owners give back what they had, piece by piece at random, until
the wanted share is left; so kernel pages lie all over the place.
"""

import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

from memhp.core.geometry import NodeId
from memhp.model.kernel import Kernel
from memhp.model.kernel_pages import nodes_by_distance
from memhp.model.pages.allocate import Request
from memhp.model.pages.holding import Holding
from memhp.model.pages.mixed import OWNERS, Ask, asks, mask_of
from memhp.model.pages.pages import Pages
from memhp.model.pages.words import PageKind
from memhp.model.workload import Exit, Fork, Grow, Workload

_AT_ONCE: Final = 32
"""Requests that are mingled."""
_PIECES: Final = 2000
"""About as many pieces fill memory, unless that makes them too small."""
_LEAST_PIECE: Final = 512
_KERNEL_FINER: Final = 8
_PAGES_A_TABLE: Final = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How much is taken, as shares of the memory that the allocator has, and what is pinned.

    ``peak`` was taken once, ``fill`` of it is left. ``dma_percent`` of the
    kernel's pages, page tables of processes apart, are held by devices. With
    ``name_all``, kernel pages that no counter names are slab.
    """

    fill: float = 0.4
    peak: float = 0.9
    dma_percent: int = 0
    name_all: bool = False


def lay(kernel: Kernel, pages: Pages, load: Load, seed: int) -> dict[str, NodeId]:
    """Put the load on a machine; returns the node that each owner is at home on.

    Deterministic in the seed. What finds no page is not taken.
    """
    chance = random.Random(seed)
    homes = homes_of(kernel)
    free = sum(area.free for area in pages.areas)
    peak = int(max(load.fill, load.peak) * free)
    pieces = _pieces(load, chance, seed, max(_LEAST_PIECE, peak // _PIECES))
    taken = _take(pages, peak, pieces, homes)
    _let_go(pages, chance, taken, int(load.fill * free))
    return homes


def homes_of(kernel: Kernel) -> dict[str, NodeId]:
    """The node that each owner's processors are on: nodes with processors, in turns."""
    nodes = sorted(node for node in kernel.firmware.cpu_nodes if node in kernel.online_nodes)
    return {_name(owner): nodes[owner % len(nodes)] for owner in range(OWNERS)}


def homes_in(kernel: Kernel, workload: Workload) -> dict[str, NodeId]:
    """The node that each owner of a workload runs on: the node that it was started for.

    One without processors is looked after by the nearest that has some.
    """
    homes = homes_of(kernel) if workload.mixed_percent else {}
    nodes = {node for node in kernel.firmware.cpu_nodes if node in kernel.online_nodes}
    for step in workload.steps:
        match step:
            case Grow(process=name) if name not in homes:
                wanted = min(nodes) if step.node is None else step.node
                near = nodes_by_distance(kernel, wanted)
                homes[name] = wanted if wanted in nodes else next(n for n in near if n in nodes)
            case Fork(process=name, child=child):
                homes[child] = homes[name]
            case Exit(process=name):
                # Who comes by this name later is another.
                homes.pop(name, None)
    return homes


def _name(owner: int) -> str:
    return f"owner {owner}"


def _take(
    pages: Pages, wanted: int, pieces: Iterator[Ask], homes: Mapping[str, NodeId]
) -> list[Holding]:
    """Take pieces until so many pages are taken, or one finds none."""
    taken: list[Holding] = []
    for piece in pieces:
        owner = _name(piece.owner)
        request = Request(
            gfp=mask_of(piece.kind), node=homes[owner], order=piece.order, count=piece.count
        )
        got = pages.allocate(request, piece.kind, owner)
        if got is None:
            break
        taken.append(got)
        wanted -= got.count << got.order
        if wanted <= 0:
            break
    return taken


def _pieces(load: Load, chance: random.Random, seed: int, most_pages: int) -> Iterator[Ask]:
    """The requests of "mixed" in pieces of so many pages at most, several requests mingled."""
    every, devices = asks(seed), _Devices(load.dma_percent)
    while True:
        mingled = [
            devices.take(_named(piece) if load.name_all else piece)
            for ask in islice(every, _AT_ONCE)
            for piece in _cut(ask, most_pages, chance)
        ]
        chance.shuffle(mingled)
        yield from mingled


def _cut(ask: Ask, most_pages: int, chance: random.Random) -> Iterator[Ask]:
    """A request in pieces, with the page tables of what is mapped in single pages.

    Pieces of the kernel's are smaller, and each is for an owner of its own.
    """
    own = not ask.kind.movable
    most = max(1, (most_pages // _KERNEL_FINER if own else most_pages) >> ask.order)
    for done in range(0, ask.count, most):
        owner = chance.randrange(OWNERS) if own else ask.owner
        count = min(most, ask.count - done)
        yield replace(ask, owner=owner, count=count)
        if not own and not ask.order:
            tables = -(-count // _PAGES_A_TABLE)
            yield Ask(owner=owner, kind=PageKind.PAGE_TABLE, order=0, count=tables)


def _named(piece: Ask) -> Ask:
    """The same piece, as slab if no counter names it."""
    unnamed = piece.kind is PageKind.KERNEL
    return replace(piece, kind=PageKind.SLAB) if unnamed else piece


class _Devices:
    """Says which of the kernel's pieces devices hold: those that are due for the wanted share."""

    def __init__(self, percent: int) -> None:
        self._percent = percent
        self._all = self._theirs = 0

    def take(self, piece: Ask) -> Ask:
        """The same piece, or one of the same size for a device."""
        if piece.kind.movable or piece.kind is PageKind.PAGE_TABLE:
            return piece
        self._all += piece.count << piece.order
        if self._theirs * 100 >= self._all * self._percent:
            return piece
        self._theirs += piece.count << piece.order
        return replace(piece, kind=PageKind.DMA)


def _let_go(pages: Pages, chance: random.Random, taken: list[Holding], left: int) -> None:
    """Free what was taken, at random, until so many pages are left."""
    chance.shuffle(taken)
    held = _size(taken)
    while taken and held > left:
        holding = taken.pop()
        held -= _size([holding])
        pages.free(holding)


def _size(holdings: Iterable[Holding]) -> int:
    return sum(holding.count << holding.order for holding in holdings)
