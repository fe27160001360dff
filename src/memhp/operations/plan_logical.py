"""Plans of the logical phase: blocks come online and go offline.

Onlining goes from the lowest block up, offlining from the highest down, as
chmem does; a block that is already as asked needs no step.
"""

from collections.abc import Iterable, Iterator

from memhp.core.errors import CannotPlan
from memhp.core.geometry import BlockId
from memhp.core.plan import Plan, plan_of
from memhp.core.request import Evacuate, Offline, Online
from memhp.core.snapshot import MemoryBlock, Snapshot, Want
from memhp.core.targets import Amount, format_size
from memhp.core.words import BlockState, OnlineType, ZoneType
from memhp.operations.choose_blocks import by_preference, reserve_bytes, room_for
from memhp.operations.make_steps import offline_step, online_step
from memhp.operations.resolve import blocks_meant

WANT = Want.BLOCKS | Want.DEVICES
_NONE: frozenset[int] = frozenset()
Chosen = dict[BlockId, MemoryBlock]


def plan_online(
    request: Online,
    snapshot: Snapshot,
    *,
    without: frozenset[int] = _NONE,
    enough_bytes: int | None = None,
    already_bytes: int = 0,
) -> Plan:
    """Plan to bring blocks online; raises ``NoSuchObject`` or ``CannotPlan``.

    A block that is online in another zone than the one asked for is not moved
    behind the user's back: it has to go offline first. ``without`` are blocks
    that refused, ``already_bytes`` what an earlier leg has brought, and
    ``enough_bytes`` what is enough where there is not as much as was asked for.
    """
    meant = blocks_meant(request.targets, snapshot)
    for block in meant:
        if _in_the_wrong_zone(block, request.online_type):
            raise CannotPlan(
                request=str(request),
                problem=f"memory{block.block} is online in {block.zone} already",
                advice=f"take it offline first, with 'memhp offline memory{block.block}'",
            )
    offline = [b for b in snapshot.blocks if b.state is BlockState.OFFLINE]
    chosen = {b.block: b for b in meant if b.state is BlockState.OFFLINE and b.block not in without}
    search = _Search(request, snapshot, without, enough_bytes)
    chosen |= search.amounts(offline, chosen, already_bytes)
    ordered = sorted(chosen.values(), key=lambda block: block.block)
    steps = tuple(online_step(snapshot, block, request.online_type) for block in ordered)
    return plan_of(request, snapshot, steps)


def plan_offline(
    request: Offline | Evacuate,
    snapshot: Snapshot,
    *,
    without: frozenset[int] = _NONE,
    enough_bytes: int | None = None,
    already_bytes: int = 0,
) -> Plan:
    """Plan to take blocks offline; raises ``NoSuchObject`` or ``CannotPlan``.

    An amount is taken from where it is surest to come and cheapest to have
    (``by_preference()``), as long as there is room for what is in use.
    The other arguments are as for ``plan_online()``.
    """
    meant = blocks_meant(request.targets, snapshot)
    online = (b for b in meant if b.state is not BlockState.OFFLINE)
    chosen = {block.block: block for block in online if block.block not in without}
    usable = [block for block in snapshot.blocks if block.can_be_tried]
    search = _Search(request, snapshot, without, enough_bytes)
    named = sorted(chosen.values(), key=_surest_first)
    found = search.amounts(
        by_preference(usable, snapshot), chosen, already_bytes, most=room_for(snapshot)
    )
    steps = tuple(offline_step(snapshot, block) for block in (*named, *found.values()))
    return plan_of(request, snapshot, steps)


def plan_evacuate(
    request: Evacuate,
    snapshot: Snapshot,
    *,
    without: frozenset[int] = _NONE,
    enough_bytes: int | None = None,
    already_bytes: int = 0,
) -> Plan:
    """Plan to empty a node, a device, or an amount; raises ``NoSuchObject``, ``CannotPlan``.

    Unlike ``plan_offline()`` it is refused before anything is touched where a
    block of a node or a device can certainly not go, unless a part is enough.
    """
    stuck = [
        block
        for block in blocks_meant(request.targets, snapshot)
        if block.state is not BlockState.OFFLINE and not block.can_be_tried
    ]
    if stuck and enough_bytes is None:
        raise CannotPlan(
            request=str(request),
            problem=f"memory{stuck[0].block} lies in two zones or on two nodes, and Linux never "
            "takes such a block offline",
            advice="ask for a part with --at-least SIZE",
        )
    return plan_offline(
        request,
        snapshot,
        without=without | {block.block for block in stuck},
        enough_bytes=enough_bytes,
        already_bytes=already_bytes,
    )


def _surest_first(block: MemoryBlock) -> tuple[bool, int]:
    return (block.zone is not ZoneType.MOVABLE, -block.block)


def _in_the_wrong_zone(block: MemoryBlock, wanted: OnlineType) -> bool:
    if block.state is BlockState.OFFLINE:
        return False
    if wanted is OnlineType.ONLINE_MOVABLE:
        return block.zone is not ZoneType.MOVABLE
    return wanted is OnlineType.ONLINE_KERNEL and block.zone is ZoneType.MOVABLE


class _Search:
    """Looks for blocks that make up the amounts of a request."""

    def __init__(
        self,
        request: Online | Offline | Evacuate,
        snapshot: Snapshot,
        without: frozenset[int],
        enough_bytes: int | None,
    ) -> None:
        self._request = request
        self._snapshot = snapshot
        self._without = without
        self._enough_bytes = enough_bytes

    def amounts(
        self,
        candidates: Iterable[MemoryBlock],
        chosen: Chosen,
        already_bytes: int,
        most: int | None = None,
    ) -> Chosen:
        """Choose from the candidates in order, at ``most`` so many; raises ``CannotPlan``."""
        wanted = sum(self._sizes())
        if wanted == 0:
            return {}
        needed = max(0, -(-(wanted - already_bytes) // self._snapshot.block_size_bytes))
        free = (b for b in candidates if b.block not in chosen and b.block not in self._without)
        limit = needed if most is None else min(needed, max(0, most - len(chosen)))
        found = {block.block: block for block, _ in zip(free, range(limit), strict=False)}
        there = len(found) * self._snapshot.block_size_bytes + already_bytes
        enough = wanted if self._enough_bytes is None else self._enough_bytes
        if len(found) < needed and there < enough:
            if len(found) == limit:
                raise self._no_room(there, wanted)
            raise CannotPlan(
                request=str(self._request),
                problem=f"only {format_size(there)} of {format_size(wanted)} could be tried",
                advice="ask for less, or for a part with --at-least SIZE",
            )
        return found

    def _no_room(self, there: int, wanted: int) -> CannotPlan:
        return CannotPlan(
            request=str(self._request),
            problem=f"only {format_size(there)} of {format_size(wanted)} can be spared: the "
            f"rest is in use, or is the reserve of {format_size(reserve_bytes(self._snapshot))}",
            advice="ask for less, or for a part with --at-least SIZE",
        )

    def _sizes(self) -> Iterator[int]:
        return (t.size_bytes for t in self._request.targets if isinstance(t, Amount))
