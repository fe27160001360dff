"""What runs on the machine while policies are compared: the same for every policy.

A thousand owners, each at home on the processors of one node, take memory in
turns, and the kernel takes its own for them: page tables for what they map,
slab, stacks and the rest in the shares of a census. Memory was nearly full once,
as on any server that caches files, and what was taken is freed at random until
the wanted share is left; so kernel pages lie all over the place.
"""

import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from memhp.core.geometry import NodeId
from memhp.model.kernel import Kernel
from memhp.model.pages.allocate import Request
from memhp.model.pages.gfp import (
    GFP_HIGHUSER_MOVABLE,
    GFP_KERNEL,
    GFP_RECLAIMABLE,
    GFP_TRANSHUGE,
    Gfp,
)
from memhp.model.pages.holders import Holding
from memhp.model.pages.pages import Pages
from memhp.model.pages.words import PAGEBLOCK_ORDER, PageKind

OWNERS: Final = 1000
CENSUS: Final[Mapping[PageKind, int]] = {
    PageKind.SLAB_RECLAIMABLE: 372160,
    PageKind.SLAB: 39604,
    PageKind.VMALLOC: 15308,
    PageKind.STACK: 2544,
    PageKind.PERCPU: 712,
}
"""Kilobytes by kind in ``/proc/meminfo`` of a server with 24 GiB and Linux 6.18 that compiled and
ran tests for an hour, 1.5 GB of anonymous memory and 1.5 GB of page cache in use; page tables
(7920 kB) come with what is mapped.
"""
_PAGES_A_TABLE: Final = 512
_TURNS: Final = 2000
"""So often owners take memory until the machine was full once, however large it is."""
_SPREAD: Final = 8
"""The most that is taken in a turn is so many times the least."""
_HUGE: Final = 0.2
_FILES: Final = 0.4


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How much is taken, as shares of the memory that the allocator has, and what of it is pinned.

    ``peak`` was taken once, ``fill`` of it is left. ``kernel_share`` of what is
    taken is the kernel's own, page tables apart; ``dma_percent`` of that is
    held by devices.
    """

    fill: float = 0.4
    peak: float = 0.9
    kernel_share: float = 0.02
    dma_percent: int = 0
    owners: int = OWNERS


def lay(kernel: Kernel, pages: Pages, load: Load, seed: int) -> dict[str, NodeId]:
    """Put the load on a machine; returns the node that each owner is at home on.

    Deterministic in the seed. What finds no page is not taken.
    """
    chance = random.Random(seed)
    nodes = kernel.firmware.cpu_nodes
    homes = {f"process {number}": nodes[number % len(nodes)] for number in range(load.owners)}
    free = sum(area.free for area in pages.areas)
    taken = _take(pages, load, chance, homes, int(max(load.fill, load.peak) * free))
    _let_go(pages, chance, taken, int(load.fill * free))
    return homes


def _take(
    pages: Pages, load: Load, chance: random.Random, homes: Mapping[str, NodeId], wanted: int
) -> list[Holding]:
    owners, taken = list(homes), list[Holding]()
    least = max(1, 2 * wanted // _TURNS // (1 + _SPREAD))
    while wanted > 0:
        owner = chance.choice(owners)
        count = chance.randint(least, _SPREAD * least)
        got = list(_turn(pages, load, chance, (owner, homes[owner]), count))
        if not got:
            break
        wanted -= _size(got)
        taken += got
    return taken


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


def _turn(
    pages: Pages, load: Load, chance: random.Random, who: tuple[str, NodeId], count: int
) -> Iterator[Holding]:
    """One owner takes so many pages, and the kernel takes its own for it."""
    owner, home = who
    kind = PageKind.FILE if chance.random() < _FILES else PageKind.ANON
    order, gfp = 0, GFP_HIGHUSER_MOVABLE
    if kind is PageKind.ANON and chance.random() < _HUGE:
        kind, order, gfp = PageKind.THP, PAGEBLOCK_ORDER, GFP_TRANSHUGE
        count = -(-count >> PAGEBLOCK_ORDER) or 1
    asked = [(kind, gfp, order, count)]
    if kind is PageKind.ANON:
        asked.append((PageKind.PAGE_TABLE, GFP_KERNEL, 0, -(-count // _PAGES_A_TABLE)))
    asked += _kernel_pages(load, chance, count << order)
    for each, mask, size, number in asked:
        request = Request(gfp=mask, node=home, order=size, count=number)
        got = pages.allocate(request, each, owner)
        if got is not None:
            yield got


def _kernel_pages(
    load: Load, chance: random.Random, nr_pages: int
) -> Iterator[tuple[PageKind, Gfp, int, int]]:
    """Kernel pages that go with so many of a process, by kind as in the census."""
    number = nr_pages * load.kernel_share
    count = int(number) + (chance.random() < number % 1)
    kinds, weights = list(CENSUS), list(CENSUS.values())
    found = [
        PageKind.DMA if chance.random() * 100 < load.dma_percent else kind
        for kind in chance.choices(kinds, weights, k=count)
    ]
    for kind in sorted(set(found), key=found.index):
        gfp = GFP_RECLAIMABLE if kind is PageKind.SLAB_RECLAIMABLE else GFP_KERNEL
        yield kind, gfp, 0, found.count(kind)
