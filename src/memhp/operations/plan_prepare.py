"""What is done before blocks go offline, so that they do (``--prepare``).

Each preparation is a step of the plan, before the first block of it. What the
preparations of huge pages change in a machine's settings is put back as soon as
no more blocks go (``settle_prepared.py``); caches that were dropped and pages
that were moved together leave nothing to put back.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from memhp.core.errors import CannotPlan
from memhp.core.geometry import MAX_ORDER_NR_PAGES, PAGE_SIZE_BYTES, NodeId
from memhp.core.plan import CompactNode, DropCaches, Plan, Step
from memhp.core.snapshot import Snapshot
from memhp.core.surroundings import HugePool
from memhp.core.words import Preparation
from memhp.operations.make_steps import hold_step
from memhp.operations.what_goes import Change, change_of

_LARGEST_FRESH_BYTES = MAX_ORDER_NR_PAGES * PAGE_SIZE_BYTES
"""Larger pages are never made afresh while others move (``alloc_migrate_hugetlb_folio()``)."""


def prepared(plan: Plan, prepare: tuple[Preparation, ...], snapshot: Snapshot) -> Plan:
    """The same plan, with the preparations that were asked for before its first step.

    A plan that takes nothing out of the machine needs none.
    """
    change = change_of(plan, snapshot.machine, snapshot)
    if not prepare or not change.goes:
        return plan
    steps: list[Step] = []
    if Preparation.DROP_CACHES in prepare:
        steps.append(Step(machine=snapshot.machine, action=DropCaches()))
    if Preparation.COMPACT in prepare:
        steps += _compact(change)
    if Preparation.HUGEPAGES in prepare:
        steps += _hugepages(change)
    return replace(plan, steps=(*steps, *plan.steps))


def check_pools(plan: Plan, prepare: tuple[Preparation, ...], snapshot: Snapshot) -> None:
    """Raise ``CannotPlan`` where huge pages are to be prepared and the machine shows none."""
    if Preparation.HUGEPAGES in prepare and not snapshot.surroundings.huge_pools:
        raise CannotPlan(
            request=str(plan.request),
            problem=f"'{snapshot.machine}' shows no pools of huge pages",
            advice="leave 'hugepages' out of --prepare",
        )


def can_spare(pool: HugePool, pools: tuple[HugePool, ...]) -> int:
    """How many free pages a pool can give back without one in use becoming surplus.

    The kernel keeps as many of that size, on all nodes, as are in use and
    promised (``set_max_huge_pages()``).
    """
    same = [other for other in pools if other.size_bytes == pool.size_bytes]
    over = sum(other.free - other.surplus for other in same) - pool.promised
    return max(0, min(pool.free, over))


def _compact(change: Change) -> Iterator[Step]:
    """The nodes where pages will go: a large page needs room there in one piece.

    Not those that shrink, where others take in their pages: compaction moves
    pages up within a zone (``compact_zone()``), and they would move twice.
    """
    targets = {n for node in change.shrinking for n in change.targets_of(node)}
    for node in sorted(targets):
        yield Step(machine=change.snapshot.machine, action=CompactNode(node=node))


def _hugepages(change: Change) -> Iterator[Step]:
    pools = change.snapshot.surroundings.huge_pools
    for size in sorted({pool.size_bytes for pool in pools}):
        by_node = {pool.node: pool for pool in pools if pool.size_bytes == size}
        yield from _of_one_size(_Pools(change=change, size_bytes=size, by_node=by_node))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pools:
    """The pools of one size, and what happens to the memory that they lie in."""

    change: Change
    size_bytes: int
    by_node: Mapping[NodeId, HugePool]

    @property
    def shrinking(self) -> list[HugePool]:
        return [self.by_node[n] for n in self.change.shrinking if n in self.by_node]

    def move_within(self, node: NodeId) -> bool:
        """Whether the kernel can only move a node's pages within it."""
        return self.change.targets_of(node) == (node,)

    def may_lie_there(self, pool: HugePool) -> int:
        """How many of a node's pages in use may lie in what goes, at the most."""
        block, size = self.change.snapshot.block_size_bytes, self.size_bytes
        mine = [b.block for b in self.change.goes if b.node == pool.node]
        pieces = len({b * block // size for b in mine}) * max(1, block // size)
        return min(pool.used, pieces)

    def targets(self) -> list[HugePool]:
        """The pools where pages may go, first those of the node with the most room."""
        nodes = {n for pool in self.shrinking for n in self.change.targets_of(pool.node)}
        found = [self.by_node[n] for n in nodes if n in self.by_node]
        return sorted(found, key=lambda pool: (-self.room(pool), pool.node))

    def room(self, pool: HugePool) -> int:
        """How many more pages a node could hold, if its free memory were in one piece."""
        rooms = self.change.snapshot.surroundings.rooms
        return sum(room.free_bytes for room in rooms if room.node == pool.node) // self.size_bytes


def _of_one_size(pools: _Pools) -> Iterator[Step]:
    """Give back what pages would go round in, and make the room that they need elsewhere."""
    need = 0
    for pool in pools.shrinking:
        if pools.move_within(pool.node) and pools.size_bytes <= _LARGEST_FRESH_BYTES:
            yield from _give_back(pools, pool)
        elif pool.total:
            need += pools.may_lie_there(pool)
    if need or any(not pools.move_within(pool.node) and pool.free for pool in pools.shrinking):
        yield from _make_room(pools, need)


def _give_back(pools: _Pools, pool: HugePool) -> Iterator[Step]:
    """Free pages on the only node: those in use would be moved into them for ever.

    A page that nobody has touched lies in a block that goes as easily as
    elsewhere, and the last freed is taken first (``dequeue_hugetlb_folio_node_exact()``);
    with none free, each page that moves gets a new one.
    """
    spare = can_spare(pool, tuple(pools.by_node.values()))
    if spare:
        yield hold_step(pools.change.snapshot.machine, pool, pool.held - spare)


def _make_room(pools: _Pools, need: int) -> Iterator[Step]:
    """Free pages where those in use will go, and as many as are promised.

    Pages of 1 GiB go nowhere else, and free ones in what goes are not given up
    while they are promised (``dissolve_free_hugetlb_folio()``).
    """
    targets = pools.targets()
    promised = max((pool.promised for pool in targets), default=0)
    missing = need + promised - sum(pool.free for pool in targets)
    for place, pool in enumerate(targets):
        rest = place == len(targets) - 1
        more = missing if rest else min(missing, pools.room(pool))
        if more > 0:
            yield hold_step(pools.change.snapshot.machine, pool, pool.held + more)
            missing -= more
