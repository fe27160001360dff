"""What a plan may hurt on a machine: pure checks, the same for every machine.

Each is refused unless it was accepted by its name (``--accept``).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from memhp.core.census import PageKind
from memhp.core.errors import CannotPlan
from memhp.core.geometry import NodeId
from memhp.core.plan import Plan
from memhp.core.ranges import format_blocks
from memhp.core.request import Add, Online, Request, Undo
from memhp.core.snapshot import MemoryBlock, Snapshots, Want
from memhp.core.surroundings import Binding, Risk, ZoneRoom
from memhp.core.targets import format_size
from memhp.core.words import OnlineType, ZoneType
from memhp.operations.what_goes import Change, change_of, online_blocks

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
        change = change_of(plan, name, snapshot)
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


def _bindings(change: Change) -> Iterator[str]:
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


def _own_cpuset(change: Change) -> Iterator[str]:
    own = change.snapshot.surroundings.own_nodes
    for node in change.shrinking if own is not None else ():
        others = set(change.memory_nodes) - {node}
        if others and not others & set(own or ()):
            yield (
                f"memhp's own cpuset excludes every node but node{node}, and what lies there can "
                "only be moved to nodes that it includes"
            )


def _crash_kernel(change: Change) -> Iterator[str]:
    if change.snapshot.surroundings.crash_kernel_stays_behind:
        yield (
            "a crash kernel is loaded that will not know of the change (no crash_hotplug), so it "
            "has to be loaded again afterwards"
        )


def _room(change: Change) -> Iterator[str]:
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
        others = set(change.targets_of(node))
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


def _ratio(change: Change) -> Iterator[str]:
    before = _movable_and_kernel(online_blocks(change.snapshot))
    going = {block.block for block in change.goes}
    movable, kernel = _movable_and_kernel(
        [block for block in online_blocks(change.snapshot) if block.block not in going]
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


def _poisoned(change: Change) -> Iterator[str]:
    """Blocks that would never come back: ``memory_block_online()`` looks for poison first."""
    census = change.snapshot.census
    found = sorted(
        block.block
        for block in change.goes
        if block.block in census and census[block.block].pages.get(PageKind.POISONED)
    )
    if found:
        yield (
            f"{format_blocks(found)} has poisoned pages: Linux takes such a block offline, and "
            "from 6.12 on never brings it online again"
        )


def _movable_and_kernel(blocks: list[MemoryBlock]) -> tuple[int, int]:
    movable = sum(block.zone is ZoneType.MOVABLE for block in blocks)
    return movable, len(blocks) - movable


_CHECKS: Mapping[Risk, Callable[[Change], Iterator[str]]] = {
    Risk.BINDINGS: _bindings,
    Risk.OWN_CPUSET: _own_cpuset,
    Risk.CRASH_KERNEL: _crash_kernel,
    Risk.ROOM: _room,
    Risk.RATIO: _ratio,
    Risk.POISONED: _poisoned,
}
