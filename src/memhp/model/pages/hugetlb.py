"""Hugetlb: pools of 2 MiB and 1 GiB pages, by node.

Source: ``dequeue_hugetlb_folio_node_exact()``, ``alloc_fresh_hugetlb_folio()``,
``alloc_contig_pages()``, ``free_huge_folio()``, ``dissolve_free_hugetlb_folios()``.

Model: a page of 1 GiB is held as 256 chunks. A page that is asked for while
none is free is added to the pool, and stays in it.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import product
from typing import Final

import numpy as np

from memhp.core.geometry import GIB, MAX_ORDER_NR_PAGES, PAGE_SIZE_BYTES, NodeId, pages_of
from memhp.core.surroundings import HugePool
from memhp.core.words import ZoneType
from memhp.model.pages.allocate import Request
from memhp.model.pages.frames import FREE, Pfns
from memhp.model.pages.gfp import GFP_HIGHUSER_MOVABLE
from memhp.model.pages.holding import Holding
from memhp.model.pages.pages import Pages
from memhp.model.pages.words import KIND_NUMBER, MAX_ORDER, PAGEBLOCK_ORDER, PageKind

_SIZES: Final = {PageKind.HUGETLB: 1 << PAGEBLOCK_ORDER, PageKind.GIGANTIC: pages_of(GIB)}
_NOBODY: Final = "the hugetlb pool"


class HugetlbPool:
    """The huge pages of a machine; those that nobody uses lie in order, the last freed first.

    Each huge page is a holding of its own. Of the ``surplus`` ones of a kind on a
    node, each that nobody uses any more is freed and not kept.
    """

    def __init__(self) -> None:
        self.idle: list[Holding] = []
        self.surplus: Counter[tuple[PageKind, NodeId]] = Counter()

    @staticmethod
    def size_of(kind: PageKind) -> int:
        """How many pages a huge page has."""
        return _SIZES[kind]

    def take(self, pages: Pages, kind: PageKind, node: NodeId, owner: str) -> Holding | None:
        """Give an owner a huge page: a free one, near before far, or else a new one."""
        for near in pages.fallback_order.get(node, ()):
            found = self.find(pages, kind, {near})
            if found is not None:
                self._use(pages, found, owner)
                return found
        fresh = self._fresh(pages, kind, node)
        if fresh is not None:
            fresh.owner = owner
        return fresh

    def add(self, pages: Pages, kind: PageKind, node: NodeId) -> bool:
        """Add a free huge page of a node to the pool (``nr_hugepages``); false without room."""
        fresh = self._fresh(pages, kind, node)
        if fresh is not None:
            self._rest(pages, fresh)
        return fresh is not None

    def find(self, pages: Pages, kind: PageKind, nodes: Iterable[NodeId]) -> Holding | None:
        """Find the free page that was freed last on these nodes.

        One in an isolated pageblock is found too, as in 6.1.192 and 6.12.117.
        """
        for holding in reversed(self.idle):
            area = pages.area_of(int(pages.holders.heads(holding)[0]))
            if holding.kind is kind and area is not None and area.node in nodes:
                return holding
        return None

    def give(self, pages: Pages, heads: Pfns) -> None:
        """Put huge pages back into the pool (``free_huge_folio()``)."""
        for number in np.unique(pages.holders.numbers_at(heads)).tolist():
            self._keep_or_free(pages, pages.holders.holdings[number])

    def exchange(self, pages: Pages, used: Holding, idle: Holding) -> None:
        """Move what a page holds to a free one; the page that it leaves is free then."""
        pages.holders.swap(used, idle)
        self.idle.remove(idle)
        self._keep_or_free(pages, idle)

    def moved(self, kind: PageKind, old: NodeId, new: NodeId) -> None:
        """Tell that a page in use has gone to a new one (``move_hugetlb_state()``)."""
        if old != new and self.surplus[kind, old]:
            self.surplus[kind, old] -= 1
            self.surplus[kind, new] += 1

    def pools(self, pages: Pages) -> Iterator[HugePool]:
        """The pools of each node that has memory, as ``nodeN/hugepages/`` shows them."""
        total: Counter[tuple[PageKind, NodeId]] = Counter()
        free: Counter[tuple[PageKind, NodeId]] = Counter()
        for holding in _huge_pages(pages):
            key = holding.kind, node_of(pages, holding)
            total[key] += 1
            free[key] += int(pages.holders.idle_of[holding.number])
        nodes = sorted({area.node for area in pages.areas if area.populated})
        for node, (kind, nr_pages) in product(nodes, _SIZES.items()):
            yield HugePool(
                node=node,
                size_bytes=nr_pages * PAGE_SIZE_BYTES,
                total=total[kind, node],
                free=free[kind, node],
                surplus=self.surplus[kind, node],
            )

    def hold(self, pages: Pages, pool: HugePool, count: int) -> None:
        """Have a node hold so many, or as many as there is room for (``set_max_huge_pages()``).

        Surplus ones are kept first, and free ones given back before those in
        use become surplus.
        """
        kind = next(k for k, n in _SIZES.items() if n * PAGE_SIZE_BYTES == pool.size_bytes)
        more = count - pool.held
        kept = max(0, min(more, pool.surplus))
        self.surplus[kind, pool.node] -= kept
        for _ in range(more - kept):
            fresh = self._fresh(pages, kind, pool.node, frozenset({pool.node}))
            if fresh is None:
                return
            self._rest(pages, fresh)
        idle = [h for h in self.idle if h.kind is kind and node_of(pages, h) == pool.node]
        for holding in idle[: max(0, -more)]:
            self._free(pages, holding)
        self.surplus[kind, pool.node] += max(0, -more - len(idle))

    def dissolve(self, pages: Pages, start: int, end: int) -> int:
        """Take free huge pages in a range out of the pool and free them; gives how many."""
        found = [h for h in self.idle if _touches(pages.holders.heads(h), start, end)]
        for holding in found:
            key = holding.kind, node_of(pages, holding)
            self.surplus[key] -= min(1, self.surplus[key])
            self._free(pages, holding)
        return len(found)

    def _keep_or_free(self, pages: Pages, holding: Holding) -> None:
        """What becomes of a page that nobody uses any more (``free_huge_folio()``)."""
        self._rest(pages, holding)
        key = holding.kind, node_of(pages, holding)
        if self.surplus[key]:
            self.surplus[key] -= 1
            self._free(pages, holding)

    def _free(self, pages: Pages, holding: Holding) -> None:
        self.idle.remove(holding)
        pages.free(holding)

    def _use(self, pages: Pages, holding: Holding, owner: str) -> None:
        self.idle.remove(holding)
        holding.owner = owner
        pages.holders.idle_of[holding.number] = 0

    def _rest(self, pages: Pages, holding: Holding) -> None:
        holding.owner = _NOBODY
        pages.holders.idle_of[holding.number] = 1
        self.idle.append(holding)

    def _fresh(
        self, pages: Pages, kind: PageKind, node: NodeId, only: frozenset[NodeId] | None = None
    ) -> Holding | None:
        if kind is PageKind.HUGETLB:
            request = Request(
                gfp=GFP_HIGHUSER_MOVABLE, node=node, order=PAGEBLOCK_ORDER, nodes=only
            )
            return pages.allocate(request, kind, _NOBODY)
        heads = _contiguous(pages, node)
        return pages.holders.hold(heads, MAX_ORDER, kind, _NOBODY) if len(heads) else None


def node_of(pages: Pages, holding: Holding) -> NodeId:
    """The node that a huge page lies on."""
    return pages.areas[pages.frames.zone_of(int(pages.holders.heads(holding)[0])) - 1].node


def _huge_pages(pages: Pages) -> Iterator[Holding]:
    holders = pages.holders
    kinds = holders.kind_of[: holders.next_number]
    huge = np.isin(kinds, [KIND_NUMBER[kind] for kind in _SIZES])
    for number in np.flatnonzero(huge & (holders.live_of[: holders.next_number] > 0)).tolist():
        yield holders.holdings[number]


def _touches(heads: Pfns, start: int, end: int) -> bool:
    return bool(((heads >= start) & (heads < end)).any())


def _contiguous(pages: Pages, node: NodeId) -> Pfns:
    """Take a free, aligned GiB of a node's Normal zone, the lowest (``alloc_contig_pages()``).

    Model: pages that are in the way are not migrated.
    """
    frames, size = pages.frames, _SIZES[PageKind.GIGANTIC]
    area = pages.area(node, ZoneType.NORMAL)
    per_gib = size // 512
    blocks = frames.zone[: len(frames.zone) // per_gib * per_gib].reshape(-1, per_gib)
    (inside,) = np.nonzero((blocks == area.index).all(axis=1))
    for place in inside.tolist():
        heads = np.arange(place * size, (place + 1) * size, MAX_ORDER_NR_PAGES)
        if _all_free(pages, heads):
            for head in heads.tolist():
                area.unlist(head)
            return heads
    return np.empty(0, np.int64)


def _all_free(pages: Pages, heads: Pfns) -> bool:
    codes = pages.frames.state[heads]
    whole = (codes & FREE != 0) & (codes & 0x0F == MAX_ORDER)
    return bool((whole | (pages.frames.pristine[heads // 32768] == 1)).all())
