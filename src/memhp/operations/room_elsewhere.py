"""Where pages of a block may go, and how much room there is. Pure.

Source: ``do_migrate_range()`` and ``alloc_migration_target()``: to every other
node with memory, never to the block's own while there is another; pages of a
kernel zone never into ``ZONE_MOVABLE``, unless they are a large folio.
"""

from dataclasses import dataclass

from memhp.core.evidence import BlockEvidence, Evidence, Held, NodeRoom
from memhp.core.words import ZoneType


@dataclass(frozen=True, slots=True, kw_only=True)
class TotalRoom:
    """Pages that are free, and that could be freed, where a block's pages may go.

    ``for_large`` is what only pieces of several pages may use besides.
    """

    free: int
    reclaimable: int
    for_large: int = 0


def targets_of(block: BlockEvidence, evidence: Evidence) -> tuple[NodeRoom, ...]:
    """The nodes that are asked for room."""
    others = tuple(room for room in evidence.rooms if room.node != block.node)
    return others or evidence.rooms


def total_room(block: BlockEvidence, evidence: Evidence) -> TotalRoom:
    """Add up the room; what of it lies in the block itself is none."""
    targets = targets_of(block, evidence)
    movable = block.zone is ZoneType.MOVABLE
    free = sum(room.kernel_free for room in targets)
    reclaimable = sum(room.kernel_reclaimable for room in targets)
    movable_free = sum(room.movable_free for room in targets)
    if movable:
        free += movable_free
        reclaimable += sum(room.movable_reclaimable for room in targets)
    if any(room.node == block.node for room in targets):
        free -= block.kinds.get(Held.FREE, 0) + block.kinds.get(Held.CACHED_FREE, 0)
        reclaimable -= block.kinds.get(Held.LRU, 0) + block.kinds.get(Held.LARGE, 0)
    return TotalRoom(
        free=max(0, free),
        reclaimable=max(0, reclaimable),
        for_large=0 if movable else movable_free,
    )
