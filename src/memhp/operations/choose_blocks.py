"""Which blocks an amount of memory is taken from: the surest first, then the cheapest, fairly.

Without a census that is what the zones tell, from the highest block down, as
chmem does.

Source: ``has_unmovable_pages()`` for what is sure; the kernel moves what lies in
a block to other nodes while one has memory (``do_migrate_range()``).
"""

from collections.abc import Iterable, Iterator, Mapping
from enum import IntEnum
from itertools import groupby

from memhp.core.census import BlockCensus, PageKind, Prospect
from memhp.core.geometry import MIB, BlockId, NodeId, bytes_of
from memhp.core.snapshot import MemoryBlock, Snapshot
from memhp.core.words import ZoneType

_QUARTERS = 4
"""Blocks cost alike where as many quarters of them have to move."""
_LEAST_RESERVE_BYTES = 64 * MIB
_RESERVE_SHARE = 50
"""One part of this many of what is online is left as room."""


class Sureness(IntEnum):
    """What the pages of a block say of an attempt to take it offline."""

    SURE = 0
    UNSURE = 1
    HOPELESS = 2


def sureness(block: MemoryBlock, census: BlockCensus | None) -> Sureness:
    """How sure it is that a block goes, and comes back: one with a poisoned page may not."""
    movable = block.zone is ZoneType.MOVABLE
    if census is None:
        return Sureness.SURE if movable else Sureness.UNSURE
    if census.of(Prospect.STAYS) or census.pages.get(PageKind.HOLE, 0):
        return Sureness.HOPELESS
    unknown = census.of(Prospect.UNKNOWN) and not movable
    poisoned = census.pages.get(PageKind.POISONED, 0)
    return Sureness.UNSURE if unknown or poisoned else Sureness.SURE


def by_preference(blocks: Iterable[MemoryBlock], snapshot: Snapshot) -> Iterator[MemoryBlock]:
    """Every block, those that are better taken first.

    Movable zones come before others that are as sure: kernel zones have room
    for everything, movable ones not. Where blocks are as sure and cost alike,
    the node that has the most room left gives next.
    """
    census = snapshot.census
    rooms = _Rooms(snapshot)

    def level(block: MemoryBlock) -> tuple[int, bool, int]:
        found = census.get(block.block)
        quarters = -(-_QUARTERS * cost(found) // found.nr_pages) if found else 0
        return sureness(block, found), block.zone is not ZoneType.MOVABLE, quarters

    for _, alike in groupby(sorted(blocks, key=level), level):
        yield from _fairly(list(alike), census, rooms)


def cost_pages(census: BlockCensus | None) -> int:
    """How many pages have to move before the block can go offline."""
    if census is None:
        return 0
    return census.of(Prospect.MOVES) + census.of(Prospect.DEAR)


def cost(census: BlockCensus | None) -> int:
    """What moving a block's pages costs, in pages of the common kind; dear ones count double."""
    return 0 if census is None else cost_pages(census) + census.of(Prospect.DEAR)


def room_for(snapshot: Snapshot) -> int | None:
    """How many blocks can go before there is too little room for what is in use, and a reserve.

    ``None`` where nobody can tell. What counts is free memory, or what the
    kernel says is available, whichever is more.
    """
    free = bytes_of(sum(each.pages.get(PageKind.FREE, 0) for each in snapshot.census.values()))
    unknown = any(PageKind.UNKNOWN in each.pages for each in snapshot.census.values())
    available = snapshot.room.available_bytes
    if available is None and (unknown or not snapshot.census):
        return None
    room = max(free, available or 0) - reserve_bytes(snapshot)
    return max(0, room // snapshot.block_size_bytes)


def reserve_bytes(snapshot: Snapshot) -> int:
    """What is left alone: 64 MiB, and 2 % of what is online where that is more."""
    online = sum(block.zone is not None for block in snapshot.blocks) * snapshot.block_size_bytes
    return max(_LEAST_RESERVE_BYTES, online // _RESERVE_SHARE)


class _Rooms:
    """Free pages by node, as far as they are known, while blocks are taken in thought."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._free: dict[NodeId | None, int] = {}
        self._all: dict[NodeId | None, int] = {}
        for block in snapshot.blocks:
            census = snapshot.census.get(block.block)
            if census is not None:
                free = census.pages.get(PageKind.FREE, 0)
                self._free[block.node] = self._free.get(block.node, 0) + free
                self._all[block.node] = self._all.get(block.node, 0) + census.nr_pages

    def share(self, node: NodeId | None) -> float:
        """What part of a node is free."""
        return self._free.get(node, 0) / max(1, self._all.get(node, 0))

    def take(self, block: MemoryBlock, census: BlockCensus | None) -> None:
        """Take a block away; what lies in it goes to the other node with the most room."""
        if census is None:
            return
        self._free[block.node] -= census.pages.get(PageKind.FREE, 0)
        self._all[block.node] -= census.nr_pages
        others = [node for node in self._free if node != block.node] or [block.node]
        self._free[max(others, key=self._free.__getitem__)] -= cost_pages(census)


def _fairly(
    blocks: list[MemoryBlock], census: Mapping[BlockId, BlockCensus], rooms: _Rooms
) -> Iterator[MemoryBlock]:
    """Blocks that are as good as each other: cheapest first, from the node with the most room."""
    waiting: dict[NodeId | None, list[MemoryBlock]] = {}
    for block in sorted(blocks, key=lambda b: (-cost(census.get(b.block)), b.block)):
        waiting.setdefault(block.node, []).append(block)
    while waiting:
        # Without a census all shares are alike, and the highest block is next.
        node = max(waiting, key=lambda n: (rooms.share(n), waiting[n][-1].block))
        block = waiting[node].pop()
        if not waiting[node]:
            del waiting[node]
        rooms.take(block, census.get(block.block))
        yield block
