"""Plans of the logical phase: blocks come online and go offline.

Onlining goes from the lowest block up, offlining from the highest down, as
chmem does; a block that is already as asked needs no step.
"""

from collections.abc import Iterable, Iterator, Sequence

from memhp.core.errors import CannotPlan
from memhp.core.geometry import BlockId
from memhp.core.plan import ExpectBlock, OfflineBlock, OnlineBlock, Plan, Step, mark_of
from memhp.core.request import Offline, Online
from memhp.core.snapshot import MemoryBlock, Snapshot, Want
from memhp.core.targets import Amount, format_size
from memhp.core.words import BlockState, OnlineType, ZoneType
from memhp.operations.resolve import blocks_meant

WANT = Want.BLOCKS | Want.DEVICES


def plan_online(request: Online, snapshot: Snapshot) -> Plan:
    """Plan to bring blocks online; raises ``NoSuchObject`` or ``CannotPlan``.

    A block that is online in another zone than the one asked for is not moved
    behind the user's back: it has to go offline first.
    """
    meant = blocks_meant(request.targets, snapshot)
    for block in meant:
        if _in_the_wrong_zone(block, request.online_type):
            raise CannotPlan(
                request=str(request),
                problem=f"memory{block.block} is online in {block.zone} already",
                advice=f"take it offline first, with 'memhp offline memory{block.block}'",
            )
    offline = [block for block in snapshot.blocks if block.state is BlockState.OFFLINE]
    chosen = {block.block: block for block in meant if block.state is BlockState.OFFLINE}
    for amount in _amounts(request.targets):
        free = (block for block in offline if block.block not in chosen)
        chosen |= _enough(free, amount, snapshot, str(request))
    steps = tuple(
        Step(
            machine=snapshot.machine,
            action=OnlineBlock(block=block.block, online_type=request.online_type),
            expect=_as_it_stands(block),
        )
        for block in sorted(chosen.values(), key=lambda block: block.block)
    )
    return _plan(request, snapshot, steps, list(chosen.values()))


def plan_offline(request: Offline, snapshot: Snapshot) -> Plan:
    """Plan to take blocks offline; raises ``NoSuchObject`` or ``CannotPlan``.

    An amount is taken from the movable zones first, the highest blocks first.
    """
    meant = blocks_meant(request.targets, snapshot)
    chosen = {block.block: block for block in meant if block.state is not BlockState.OFFLINE}
    for amount in _amounts(request.targets):
        usable = (b for b in snapshot.blocks if b.can_be_tried and b.block not in chosen)
        surest_first = sorted(usable, key=lambda b: (b.zone is not ZoneType.MOVABLE, -b.block))
        chosen |= _enough(surest_first, amount, snapshot, str(request))
    ordered = sorted(
        chosen.values(), key=lambda block: (block.zone is not ZoneType.MOVABLE, -block.block)
    )
    steps = tuple(
        Step(
            machine=snapshot.machine,
            action=OfflineBlock(block=block.block),
            expect=_as_it_stands(block),
        )
        for block in ordered
    )
    return _plan(request, snapshot, steps, ordered)


def _plan(
    request: Online | Offline,
    snapshot: Snapshot,
    steps: tuple[Step, ...],
    touched: Sequence[MemoryBlock],
) -> Plan:
    in_order = sorted(touched, key=lambda block: block.block)
    mark = mark_of(snapshot.identity, in_order)
    return Plan(request=request, marks={snapshot.machine: mark}, steps=steps)


def _as_it_stands(block: MemoryBlock) -> ExpectBlock:
    return ExpectBlock(block=block.block, state=block.state, zone=block.zone)


def _in_the_wrong_zone(block: MemoryBlock, wanted: OnlineType) -> bool:
    if block.state is BlockState.OFFLINE:
        return False
    if wanted is OnlineType.ONLINE_MOVABLE:
        return block.zone is not ZoneType.MOVABLE
    return wanted is OnlineType.ONLINE_KERNEL and block.zone is ZoneType.MOVABLE


def _amounts(targets: Iterable[object]) -> Iterator[int]:
    return (target.size_bytes for target in targets if isinstance(target, Amount))


def _enough(
    candidates: Iterable[MemoryBlock], size_bytes: int, snapshot: Snapshot, request: str
) -> dict[BlockId, MemoryBlock]:
    """Take blocks in order until they make up the size; raises ``CannotPlan``."""
    needed = -(-size_bytes // snapshot.block_size_bytes)
    chosen = {block.block: block for block, _ in zip(candidates, range(needed), strict=False)}
    if len(chosen) < needed:
        there = format_size(len(chosen) * snapshot.block_size_bytes)
        raise CannotPlan(
            request=request,
            problem=f"only {there} of {format_size(size_bytes)} could be tried",
            advice="ask for less",
        )
    return chosen
