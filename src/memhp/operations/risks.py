"""What a plan may hurt on a machine: pure checks, the same for every machine.

Each is refused unless it was accepted by its name (``--accept``).
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from memhp.core.errors import CannotPlan
from memhp.core.geometry import NodeId
from memhp.core.plan import OfflineBlock, OnlineBlock, Plan, RemoveDevice
from memhp.core.request import Add, Online, Request, Undo
from memhp.core.snapshot import MemoryBlock, Snapshot, Snapshots, Want
from memhp.core.surroundings import Binding, Risk, ZoneRoom
from memhp.core.targets import format_size
from memhp.core.words import BlockState, OnlineType, ZoneType

_MOST_NAMED = 3
_MOST_MOVABLE_TO_KERNEL = 15
"""Past it the page structures of all memory (1/64 of it) fill a quarter of the kernel zones.

The kernel's documentation calls 3:1, or even 4:1, fine for many workloads and
63:1 impossible (Documentation/admin-guide/mm/memory-hotplug.rst).
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Danger:
    """A risk that a plan runs, and why in a sentence."""

    risk: Risk
    why: str


def want_for_risks(request: Request) -> Want:
    """What is to be read for them besides what planning needs."""
    grows = isinstance(request, Online | Add | Undo)
    return Want(0) if grows else Want.SURROUNDINGS


def dangers_of(plan: Plan, snapshots: Snapshots) -> tuple[Danger, ...]:
    """Every risk that a plan runs, by machine."""
    found = []
    for name, snapshot in snapshots.items():
        change = _change_of(plan, name, snapshot)
        if change.goes or change.comes:
            found += [
                Danger(risk=risk, why=why)
                for risk, check in _CHECKS.items()
                for why in check(change)
            ]
    return tuple(found)


def check_risks(plan: Plan, snapshots: Snapshots, accepted: tuple[Risk, ...]) -> None:
    """Raise ``CannotPlan`` where a plan runs a risk that was not accepted."""
    open_ones = [d for d in dangers_of(plan, snapshots) if d.risk not in accepted]
    if open_ones:
        names = ",".join(dict.fromkeys([*accepted, *(danger.risk for danger in open_ones)]))
        raise CannotPlan(
            request=str(plan.request),
            problem="; ".join(danger.why for danger in open_ones),
            advice=f"do it all the same with '--accept {names}'",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Change:
    """What a plan does to one machine: blocks that go, and that come with the zone's word."""

    snapshot: Snapshot
    goes: tuple[MemoryBlock, ...]
    comes: tuple[tuple[MemoryBlock, OnlineType], ...]

    @property
    def taken(self) -> Counter[tuple[NodeId, ZoneType]]:
        """Bytes that go, by node and zone."""
        size = self.snapshot.block_size_bytes
        taken: Counter[tuple[NodeId, ZoneType]] = Counter()
        for block in self.goes:
            if block.node is not None and block.zone is not None:
                taken[block.node, block.zone] += size
        return taken

    @property
    def shrinking(self) -> tuple[NodeId, ...]:
        """The nodes that lose memory."""
        return tuple(sorted({block.node for block in self.goes if block.node is not None}))

    @property
    def memory_nodes(self) -> tuple[NodeId, ...]:
        """The nodes that have memory now."""
        return tuple(sorted({b.node for b in _online(self.snapshot) if b.node is not None}))

    def is_emptied(self, node: NodeId) -> bool:
        """Whether nothing of a node stays online."""
        going = {block.block for block in self.goes}
        return all(b.block in going for b in _online(self.snapshot) if node in b.nodes)


def _change_of(plan: Plan, machine: str, snapshot: Snapshot) -> _Change:
    by_number = {block.block: block for block in snapshot.blocks}
    goes, comes = {}, []
    for step in plan.steps:
        match step.action:
            case OfflineBlock(block=number) if step.machine == machine and number in by_number:
                goes[number] = by_number[number]
            case OnlineBlock(block=number, online_type=word) if (
                step.machine == machine and number in by_number
            ):
                comes.append((by_number[number], word))
            case RemoveDevice(device=name) if step.machine == machine:
                goes |= {b.block: b for b in _online(snapshot) if b.device == name}
    return _Change(snapshot=snapshot, goes=tuple(goes.values()), comes=tuple(comes))


def _bindings(change: _Change) -> Iterator[str]:
    memory = set(change.memory_nodes)
    for node in change.shrinking:
        bound = [
            binding
            for binding in change.snapshot.surroundings.bindings
            if node in binding.nodes and not memory <= set(binding.nodes)
        ]
        if bound:
            end = "is emptied: Linux lets go of such a binding, and memory that comes back does not"
            end = f"{end} restore it" if change.is_emptied(node) else "gets smaller"
            yield f"{_named(bound)} bound to node{node}, which {end}"


def _named(bound: list[Binding]) -> str:
    names = [binding.who for binding in bound[:_MOST_NAMED]]
    more = len(bound) - len(names)
    told = ", ".join(names) + (f" and {more} more" if more else "")
    return f"{told} {'is' if len(bound) == 1 else 'are'}"


def _own_cpuset(change: _Change) -> Iterator[str]:
    own = change.snapshot.surroundings.own_nodes
    for node in change.shrinking if own is not None else ():
        others = set(change.memory_nodes) - {node}
        if others and not others & set(own or ()):
            yield (
                f"memhp's own cpuset excludes every node but node{node}, and what lies there can "
                "only be moved to nodes that it includes"
            )


def _crash_kernel(change: _Change) -> Iterator[str]:
    if change.snapshot.surroundings.crash_kernel_stays_behind:
        yield (
            "a crash kernel is loaded that will not know of the change (no crash_hotplug), so it "
            "has to be loaded again afterwards"
        )


def _room(change: _Change) -> Iterator[str]:
    """At least so much must move: what is taken of a zone, less all that is free in it.

    The kernel moves pages to other nodes only, as long as another has memory
    (``do_migrate_range()``), and from a kernel zone into kernel zones only.
    """
    taken = change.taken
    rooms = {(room.node, room.zone): room for room in change.snapshot.surroundings.rooms}
    for (node, zone), size_bytes in sorted(taken.items()):
        here = rooms.get((node, zone))
        if here is None:
            continue
        must_move = size_bytes - here.free_bytes
        others = {n for n in change.memory_nodes if n != node} or {node}
        own = change.snapshot.surroundings.own_nodes
        there = others & set(own) if own is not None else others
        may = [r for r in rooms.values() if r.node in there and _takes(r.zone, zone)]
        room = sum(_left(r, taken, same=(r.node, r.zone) == (node, zone)) for r in may)
        room += (
            change.snapshot.surroundings.swap.free_bytes if change.snapshot.surroundings.swap else 0
        )
        if must_move > room:
            where = "on the other nodes" if node not in others else "elsewhere"
            yield (
                f"at least {format_size(must_move)} must move out of node{node}'s zone {zone}, and "
                f"there is room for {format_size(room)} {where}"
            )


def _takes(target: ZoneType, source: ZoneType) -> bool:
    return source is ZoneType.MOVABLE or target.holds_kernel_memory


def _left(room: ZoneRoom, taken: Mapping[tuple[NodeId, ZoneType], int], *, same: bool) -> int:
    """What a zone can take in, at the most."""
    free = 0 if same else room.free_bytes - room.min_bytes - taken.get((room.node, room.zone), 0)
    return max(0, free) + room.cache_bytes


def _ratio(change: _Change) -> Iterator[str]:
    before = _movable_and_kernel(_online(change.snapshot))
    going = {block.block for block in change.goes}
    movable, kernel = _movable_and_kernel(
        [block for block in _online(change.snapshot) if block.block not in going]
    )
    for block, word in change.comes:
        is_movable = word is OnlineType.ONLINE_MOVABLE or (
            word is OnlineType.ONLINE and block.valid_zones[:1] == (ZoneType.MOVABLE,)
        )
        movable, kernel = (movable + 1, kernel) if is_movable else (movable, kernel + 1)
    worse = movable * before[1] > before[0] * kernel
    if movable > _MOST_MOVABLE_TO_KERNEL * kernel and worse:
        size = change.snapshot.block_size_bytes
        yield (
            f"{format_size(movable * size)} would be in zone Movable and "
            f"{format_size(kernel * size)} where kernel memory may lie, more than "
            f"{_MOST_MOVABLE_TO_KERNEL} to 1"
        )


def _movable_and_kernel(blocks: list[MemoryBlock]) -> tuple[int, int]:
    movable = sum(block.zone is ZoneType.MOVABLE for block in blocks)
    return movable, len(blocks) - movable


def _online(snapshot: Snapshot) -> list[MemoryBlock]:
    return [block for block in snapshot.blocks if block.state is not BlockState.OFFLINE]


_CHECKS: Mapping[Risk, Callable[[_Change], Iterator[str]]] = {
    Risk.BINDINGS: _bindings,
    Risk.OWN_CPUSET: _own_cpuset,
    Risk.CRASH_KERNEL: _crash_kernel,
    Risk.ROOM: _room,
    Risk.RATIO: _ratio,
}
