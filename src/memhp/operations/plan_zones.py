"""Plans for blocks that came with a device: online, in the zone asked for or that others had."""

from collections.abc import Iterable, Iterator

from memhp.core.plan import Step
from memhp.core.snapshot import MemoryBlock, Snapshot
from memhp.core.words import BlockState, OnlineType, ZoneType
from memhp.operations.make_steps import offline_step, online_step, zone_word
from memhp.operations.operation import Key


def blocks_of_device(snapshot: Snapshot, device: str) -> tuple[MemoryBlock, ...]:
    """The blocks of a device, ascending."""
    return tuple(block for block in snapshot.blocks if block.device == device)


def in_zone(block: MemoryBlock, word: OnlineType) -> bool:
    """Whether a block is online, and where the word would have put it."""
    if block.state is not BlockState.ONLINE:
        return False
    movable = block.zone is ZoneType.MOVABLE
    if word is OnlineType.ONLINE_MOVABLE:
        return movable
    return not movable if word is OnlineType.ONLINE_KERNEL else True


def zone_steps(
    snapshot: Snapshot, blocks: Iterable[MemoryBlock], word: OnlineType, stuck: frozenset[Key]
) -> Iterator[Step]:
    """Bring blocks online by a word; those that policy put elsewhere go offline first.

    Those come online in the next plan. ``stuck`` are blocks that refused.
    """
    todo = [b for b in blocks if not in_zone(b, word) and not _stuck(snapshot, b, stuck)]
    online = [block for block in todo if block.state is not BlockState.OFFLINE]
    yield from (offline_step(snapshot, block) for block in reversed(online))
    offline = [block for block in todo if block.state is BlockState.OFFLINE]
    yield from (online_step(snapshot, block, word) for block in offline)


def like_steps(
    snapshot: Snapshot,
    was: Iterable[MemoryBlock],
    now: Iterable[MemoryBlock],
    stuck: frozenset[Key],
) -> Iterator[Step]:
    """Bring each block to the state and zone that its predecessor had, the first like the first."""
    pairs = [
        (old, new)
        for old, new in zip(was, now, strict=False)
        if not _stuck(snapshot, new, stuck) and (old.state, old.zone) != (new.state, new.zone)
    ]
    for old, new in reversed(pairs):
        elsewhere = old.zone is not None and new.zone is not old.zone
        if new.state is not BlockState.OFFLINE and (old.state is BlockState.OFFLINE or elsewhere):
            yield offline_step(snapshot, new)
    for old, new in pairs:
        if new.state is BlockState.OFFLINE and old.state is not BlockState.OFFLINE:
            yield online_step(snapshot, new, zone_word(old.zone))


def _stuck(snapshot: Snapshot, block: MemoryBlock, stuck: frozenset[Key]) -> bool:
    return (snapshot.machine, f"memory{block.block}") in stuck
