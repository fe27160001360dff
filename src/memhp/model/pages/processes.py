"""Processes that grow, shrink, fork, exit and pin, and what the kernel allocates with them.

A process is the holdings that have its name; nothing else is kept of it.

Model: a process has one page of tables for 512 pages that it maps (and one
for each huge page, as the kernel keeps one to split it), three more and a
stack of four pages to begin with; the page cache has one page of reclaimable
slab for 64. What a child writes after a fork is not copied. No page is ever
written to disk to make room.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np

from memhp.core.geometry import NodeId, bytes_of, pages_of
from memhp.model.kernel import Kernel
from memhp.model.pages.allocate import Request
from memhp.model.pages.frames import Pfns
from memhp.model.pages.gfp import Gfp
from memhp.model.pages.holding import Holding
from memhp.model.pages.machine_pages import MachinePages
from memhp.model.pages.mixed import mask_of
from memhp.model.pages.words import PAGEBLOCK_ORDER, PageKind
from memhp.model.workload import (
    Exit,
    Fork,
    Grow,
    KernelGrow,
    KernelMemory,
    Memory,
    Pin,
    Shrink,
    Step,
)

KINDS_OF: Final = {
    Memory.ANONYMOUS: PageKind.ANON,
    Memory.FILES: PageKind.FILE,
    Memory.TMPFS: PageKind.SHMEM,
    Memory.HUGE: PageKind.THP,
    Memory.HUGETLB_2M: PageKind.HUGETLB,
    Memory.HUGETLB_1G: PageKind.GIGANTIC,
}
KERNEL_KINDS_OF: Final = {
    KernelMemory.SLAB: PageKind.SLAB,
    KernelMemory.RECLAIMABLE_SLAB: PageKind.SLAB_RECLAIMABLE,
    KernelMemory.PAGE_TABLES: PageKind.PAGE_TABLE,
    KernelMemory.STACKS: PageKind.STACK,
    KernelMemory.VMALLOC: PageKind.VMALLOC,
    KernelMemory.PERCPU: PageKind.PERCPU,
    KernelMemory.DMA_BUFFERS: PageKind.DMA,
    KernelMemory.BALLOON: PageKind.BALLOON,
    KernelMemory.ZSMALLOC: PageKind.ZSMALLOC,
    KernelMemory.OTHER: PageKind.KERNEL,
}
_PAGES_PER_TABLE: Final = 512
_TABLES_AT_START: Final = 3
_STACK_PAGES: Final = 4
_FILE_PAGES_PER_SLAB: Final = 64
_CACHED: Final = frozenset({PageKind.FILE, PageKind.SLAB_RECLAIMABLE})
"""What stays when its process ends."""


class Processes:
    """The processes of a machine, and chance, which a seed decides."""

    def __init__(self, kernel: Kernel, pages: MachinePages, seed: int = 0) -> None:
        self._kernel = kernel
        self._pages = pages
        self._dice = np.random.RandomState(seed)
        self._of: dict[str, list[Holding]] = {}
        for holding in pages.holders.holdings.values():
            for name in (holding.owner, *holding.shared_with):
                self._of.setdefault(name, []).append(holding)

    def do(self, step: Step) -> int:
        """Do a step; gives by how many pages it fell short."""
        match step:
            case Grow():
                return self._grow(step)
            case Shrink():
                return self._shrink(step)
            case Fork():
                return self._fork(step)
            case Exit():
                return self._exit(step.process)
            case Pin():
                return self._pin(step)
            case KernelGrow():
                kind = KERNEL_KINDS_OF[step.memory]
                return self._get("the kernel", kind, pages_of(step.size_bytes), step.node)

    def home(self, process: str) -> NodeId | None:
        """The node that a process was started on: that of its first page."""
        for holding in self._mine(process):
            area = self._pages.area_of(int(self._pages.holders.heads(holding)[0]))
            return None if area is None else area.node
        return None

    def held(self, process: str, kind: PageKind) -> list[Holding]:
        """What a process holds of a kind."""
        return [holding for holding in self._mine(process) if holding.kind is kind]

    def _grow(self, step: Grow) -> int:
        kind, nr_pages = KINDS_OF[step.memory], pages_of(step.size_bytes)
        home = self.home(step.process)
        node = step.node if step.node is not None else home
        node = node if node is not None else min(self._kernel.firmware.cpu_nodes)
        short = 0
        if home is None:
            short += self._get(step.process, PageKind.STACK, _STACK_PAGES, node)
            short += self._get(step.process, PageKind.PAGE_TABLE, _TABLES_AT_START, node)
        if kind is PageKind.FILE:
            companion, number = PageKind.SLAB_RECLAIMABLE, -(-nr_pages // _FILE_PAGES_PER_SLAB)
        else:
            companion, number = PageKind.PAGE_TABLE, -(-nr_pages // _PAGES_PER_TABLE)
        short += self._get(step.process, companion, number, node)
        return short + self._get(step.process, kind, nr_pages, node, bound=step.bound)

    def _get(
        self, owner: str, kind: PageKind, nr_pages: int, node: NodeId, *, bound: bool = False
    ) -> int:
        """Allocate pages of a kind; gives how many were not to be had."""
        if kind in {PageKind.HUGETLB, PageKind.GIGANTIC}:
            return self._get_hugetlb(owner, kind, nr_pages, node)
        order = PAGEBLOCK_ORDER if kind is PageKind.THP else 0
        gfp = mask_of(kind) | (Gfp.THISNODE if bound else Gfp.NONE)
        count = -(-nr_pages >> order) if order == 0 else nr_pages >> order
        got = 0
        if count:
            request = Request(gfp=gfp, node=node, order=order, count=count)
            holding = self._pages.allocate(request, kind, owner)
            if holding is not None:
                self._of.setdefault(owner, []).append(holding)
                got = holding.count << order
        rest = nr_pages - got
        if order and rest:
            # Where there is no huge page, single pages are taken.
            return self._get(owner, PageKind.ANON, rest, node, bound=bound)
        return rest

    def _get_hugetlb(self, owner: str, kind: PageKind, nr_pages: int, node: NodeId) -> int:
        pool = self._pages.hugetlb
        rest = nr_pages
        while rest >= pool.size_of(kind):
            holding = pool.take(self._pages, kind, node, owner)
            if holding is None:
                break
            self._of.setdefault(owner, []).append(holding)
            rest -= pool.size_of(kind)
        return rest

    def _shrink(self, step: Shrink) -> int:
        kind, wanted = KINDS_OF[step.memory], pages_of(step.size_bytes)
        for holding in list(self._mine(step.process)):
            kept = holding.shared_with or holding.pinned
            if holding.kind is not kind or wanted < 1 << holding.order or kept:
                continue
            heads = self._pages.holders.heads(holding)
            chosen = heads[self._dice.permutation(len(heads))[: wanted >> holding.order]]
            wanted -= len(chosen) << holding.order
            self._free(chosen, kind)
        return wanted

    def _fork(self, step: Fork) -> int:
        """Share what the parent maps, and give the child tables and a stack of its own."""
        if self.home(step.child) is not None:
            raise ValueError(f"there is a process '{step.child}' already")
        home = self.home(step.process)
        mapped = 0
        for holding in list(self._mine(step.process)):
            if holding.kind.mapped:
                holding.shared_with = (*holding.shared_with, step.child)
                self._of.setdefault(step.child, []).append(holding)
                self._pages.holders.map_again(holding)
                mapped += self._pages.holders.live(holding) << holding.order
        node = home if home is not None else min(self._kernel.firmware.cpu_nodes)
        tables = -(-mapped // _PAGES_PER_TABLE) + _TABLES_AT_START
        short = self._get(step.child, PageKind.PAGE_TABLE, tables, node)
        return short + self._get(step.child, PageKind.STACK, _STACK_PAGES, node)

    def _exit(self, process: str) -> int:
        """Free what no other process maps; the page cache stays, and is nobody's."""
        for holding in list(self._mine(process)):
            if holding.shared_with:
                names = [n for n in (holding.owner, *holding.shared_with) if n != process]
                holding.owner, holding.shared_with = names[0], tuple(names[1:])
                self._pages.holders.map_again(holding, -1)
            elif holding.kind in _CACHED:
                holding.owner = "the page cache"
                self._of.setdefault(holding.owner, []).append(holding)
            else:
                self._free(self._pages.holders.heads(holding), holding.kind)
        self._of.pop(process, None)
        return 0

    def _free(self, heads: Pfns, kind: PageKind) -> None:
        if kind in {PageKind.HUGETLB, PageKind.GIGANTIC}:
            self._pages.hugetlb.give(self._pages, heads)
        else:
            self._pages.free_pages(heads)

    def _pin(self, step: Pin) -> int:
        """Pin or lock whole pages of a process, of its first holdings.

        A page in ZONE_MOVABLE is migrated to a kernel zone before it is pinned
        for long; where that fails, it is not pinned
        (``check_and_migrate_movable_pages()``).
        """
        kind, wanted = KINDS_OF[step.memory], pages_of(step.size_bytes)
        for holding in list(self._mine(step.process)):
            if holding.kind is not kind or holding.pinned or wanted < 1 << holding.order:
                continue
            part = self._part(holding, wanted >> holding.order)
            wanted -= self._pages.holders.live(part) << part.order
            if step.only_lock:
                self._pages.holders.mlock(part)
            elif self._pages.move_out_of_movable(part):
                self._pages.holders.pin(part)
            else:
                wanted += self._pages.holders.live(part) << part.order
        return wanted

    def _part(self, holding: Holding, count: int) -> Holding:
        """The first chunks of a holding as one of their own; itself where that is all."""
        if self._pages.holders.live(holding) <= count:
            return holding
        part = self._pages.holders.cut(holding, count)
        for name in (part.owner, *part.shared_with):
            self._of.setdefault(name, []).append(part)
        return part

    def _mine(self, process: str) -> Iterator[Holding]:
        known = self._pages.holders.holdings
        return (h for h in self._of.get(process, []) if h.number in known)


def words_of(step: Step, short: int) -> str:
    """What is written in the log of a step that fell short."""
    who = getattr(step, "process", "the kernel")
    return f"page allocation failure: {who}: {bytes_of(short) >> 10} kB not found"
