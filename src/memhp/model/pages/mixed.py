"""The workload "mixed", the one that figures are measured with.

One thousand owners, one after another at random, ask for memory until a share
of it is in use. By pages: 38 % anonymous, 28 % page cache and 4 % tmpfs in
single pages, 26 % in transparent huge pages, 4 % for the kernel. A request has
from one page to 64 MiB, each power of two as likely as any other (half of the
requests have up to 512 KiB, the mean is about 7 MiB); the kernel's are smaller
by the share of their kind. Half of the kernel's pages are single-page
requests, a batch at a time. Every 256 requests a tenth
of what they got is freed, chunk by chunk at random, and filled again by what
comes later.

The kernel's pages are of the kinds, in the shares, that a census counted on a
machine with Linux 6.18, 23.5 GiB and two processors while software was built
on it (``/proc/meminfo`` and ``/proc/vmallocinfo``, 123,995 pages): reclaimable
slab 75.8 %, slab 8.3 %, stacks 0.5 %, page tables 1.7 %, per-cpu 0.4 %, vmalloc
2.2 %, and 11.1 % that no counter names.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from memhp.core.geometry import NodeId
from memhp.model.kernel import Kernel
from memhp.model.pages.allocate import Request
from memhp.model.pages.frames import Pfns
from memhp.model.pages.gfp import GFP_HIGHUSER_MOVABLE, GFP_KERNEL, GFP_RECLAIMABLE, Gfp
from memhp.model.pages.holding import Holding
from memhp.model.pages.machine_pages import MachinePages
from memhp.model.pages.words import PageKind

OWNERS: Final = 1000
_ROUND: Final = 256
"""Requests between two times of freeing."""
_FREED_OF: Final = 10
_LARGEST_POWER: Final = 13
"""Requests have from 1 to 2 ** 14 - 1 pages."""
_SHARES: Final = ((PageKind.ANON, 38), (PageKind.FILE, 28), (PageKind.SHMEM, 4), (PageKind.THP, 26))
_KERNEL_SHARE: Final = 4
CENSUS: Final = (
    (PageKind.SLAB_RECLAIMABLE, 758),
    (PageKind.SLAB, 83),
    (PageKind.STACK, 5),
    (PageKind.PAGE_TABLE, 17),
    (PageKind.PERCPU, 4),
    (PageKind.VMALLOC, 22),
    (PageKind.KERNEL, 111),
)
"""Kernel pages by kind, in thousandths of them all."""
_LARGEST_SHARE: Final = 758
_ORDER: Final = {PageKind.SLAB: 3, PageKind.SLAB_RECLAIMABLE: 2, PageKind.KERNEL: 1}
"""Of the kernel's requests that are no single pages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One request of the workload: chunks of one order for an owner."""

    owner: int
    kind: PageKind
    order: int
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """What filling came to; ``requests`` counts a batch of single pages as as many requests."""

    requests: int
    batches: int
    pages: int
    single_kernel_pages: int
    freed_pages: int


def asks(seed: int) -> Iterator[Ask]:
    """The requests of "mixed", without end; the same for the same seed."""
    dice = np.random.RandomState(seed)
    # A kind is due when it has had less than its share of the pages so far.
    had = dict.fromkeys([*(kind for kind, _ in _SHARES), None], 0)
    share: dict[PageKind | None, int] = {**dict(_SHARES), None: _KERNEL_SHARE}
    kernel_had = {(kind, single): 0 for kind, _ in CENSUS for single in (True, False)}
    while True:
        power = int(dice.randint(0, _LARGEST_POWER + 1))
        nr_pages = int(dice.randint(1 << power, 2 << power))
        owner = int(dice.randint(0, OWNERS))
        due = min(had, key=lambda kind: had[kind] * 100 // share[kind])
        if due is None:
            ask = _kernel_ask(owner, nr_pages, kernel_had)
        else:
            order = 9 if due is PageKind.THP else 0
            ask = Ask(owner=owner, kind=due, order=order, count=max(1, nr_pages >> order))
        had[due] += ask.count << ask.order
        yield ask


def fill(kernel: Kernel, pages: MachinePages, percent: int, seed: int) -> Filled:
    """Fill memory until so much of what was free is in use, or nothing more is found."""
    nodes = sorted(n for n in kernel.firmware.cpu_nodes if n in kernel.online_nodes)
    free = sum(area.free for area in pages.areas)
    goal = free - free * percent // 100
    dice = np.random.RandomState(seed + 1)
    filling = _Filling(pages, [NodeId(n) for n in nodes], dice)
    for ask in asks(seed):
        if sum(area.free + area.cached() for area in pages.areas) <= goal or filling.failed:
            break
        filling.ask(ask)
    return filling.result()


class _Filling:
    """Asks, one after another, and what of the last ones is freed again."""

    def __init__(
        self, pages: MachinePages, nodes: list[NodeId], dice: np.random.RandomState
    ) -> None:
        self.failed = False
        self._pages = pages
        self._nodes = nodes
        self._dice = dice
        self._recent: list[Holding] = []
        self._requests = self._batches = self._got = self._single = self._freed = 0

    def ask(self, ask: Ask) -> None:
        request = Request(
            gfp=mask_of(ask.kind),
            node=self._nodes[ask.owner % len(self._nodes)],
            order=ask.order,
            count=ask.count,
        )
        holding = self._pages.allocate(request, ask.kind, f"owner {ask.owner}")
        got = holding.count if holding is not None else 0
        self.failed = got < ask.count and ask.order == 0
        self._batches += 1
        singles = got if ask.order == 0 and not ask.kind.movable else 0
        self._single += singles
        self._requests += singles or 1
        self._got += got << ask.order
        if holding is not None:
            self._recent.append(holding)
        if self._batches % _ROUND == 0:
            self._free_some()

    def result(self) -> Filled:
        return Filled(
            requests=self._requests,
            batches=self._batches,
            pages=self._got,
            single_kernel_pages=self._single,
            freed_pages=self._freed,
        )

    def _free_some(self) -> None:
        """Free a tenth of the chunks that came lately, picked at random, by order."""
        by_order: dict[int, list[Pfns]] = {}
        for holding in self._recent:
            by_order.setdefault(holding.order, []).append(self._pages.holders.heads(holding))
        for order, parts in sorted(by_order.items()):
            heads = np.concatenate(parts)
            chosen = heads[self._dice.permutation(len(heads))[: len(heads) // _FREED_OF]]
            self._pages.free_pages(chosen)
            self._freed += len(chosen) << order
        self._recent.clear()


def _kernel_ask(owner: int, nr_pages: int, had: dict[tuple[PageKind, bool], int]) -> Ask:
    """The kernel's kind that is furthest behind its share, half of it in single pages."""
    shares = dict(CENSUS)
    kind, single = min(had, key=lambda key: had[key] * 1000 // shares[key[0]])
    order = 0 if single else _ORDER.get(kind, 0)
    # What has a small share asks for little, or one request would be more than all of it.
    count = max(1, nr_pages * shares[kind] // _LARGEST_SHARE >> order)
    had[kind, single] += count << order
    return Ask(owner=owner, kind=kind, order=order, count=count)


def mask_of(kind: PageKind) -> Gfp:
    """The mask that pages of a kind are asked for with."""
    if kind.movable:
        return GFP_HIGHUSER_MOVABLE
    return GFP_RECLAIMABLE if kind is PageKind.SLAB_RECLAIMABLE else GFP_KERNEL
