"""What a plan may hurt: each risk is seen, refused, and taken where it is accepted."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from memhp.core.census import BlockCensus, PageKind
from memhp.core.errors import CannotPlan
from memhp.core.geometry import MIB, BlockId, NodeId
from memhp.core.machine import Machine
from memhp.core.plan import OfflineBlock, OnlineBlock, Plan, Step
from memhp.core.request import Conditions, Evacuate, Offline, Online, Remove, Replace, Request
from memhp.core.snapshot import MemoryBlock, Snapshot, Want
from memhp.core.surroundings import Binding, Risk, Surroundings, Swap, ZoneRoom
from memhp.core.targets import Blocks, DeviceTarget
from memhp.core.words import BlockState, Ending, OnlineType, ZoneType
from memhp.machines.open import open_machine
from memhp.model.store import StateFile
from memhp.operations.conduct import Conductor
from memhp.operations.journal import Journals
from memhp.operations.operation import Operation
from memhp.operations.risks import check_risks, dangers_of

SIZE = 128 * MIB
NODES = (NodeId(0), NodeId(1))


def block(number: int, node: int, zone: ZoneType | None) -> MemoryBlock:
    return MemoryBlock(
        block=BlockId(number),
        state=BlockState.OFFLINE if zone is None else BlockState.ONLINE,
        zone=zone,
        nodes=(NodeId(node),),
        valid_zones=("Normal", "Movable") if zone is None else (zone,),
    )


BLOCKS = (
    *(block(n, 0, ZoneType.NORMAL) for n in range(4)),
    *(block(n, 1, ZoneType.MOVABLE) for n in range(4, 8)),
)


def machine(around: Surroundings, blocks: tuple[MemoryBlock, ...] = BLOCKS) -> Snapshot:
    return Snapshot(
        machine="m",
        identity="m:1",
        want=Want.BLOCKS | Want.SURROUNDINGS,
        block_size_bytes=SIZE,
        blocks=blocks,
        surroundings=around,
    )


def taking(*numbers: int) -> Plan:
    steps = tuple(Step(machine="m", action=OfflineBlock(block=BlockId(n))) for n in numbers)
    return Plan(request=Offline(targets=()), marks={}, steps=steps)


def found(around: Surroundings, *numbers: int) -> list[tuple[Risk, str]]:
    dangers = dangers_of(taking(*numbers), {"m": machine(around)})
    return [(danger.risk, danger.why) for danger in dangers]


def test_nothing_is_at_risk_where_nothing_is_known() -> None:
    assert found(Surroundings(), 4, 5, 6, 7) == []


BOUND = Surroundings(
    bindings=(
        Binding(who="qemu-system-x86 (42)", nodes=(NodeId(1),)),
        Binding(who="cgroup /db", nodes=(NodeId(0),)),
    )
)


def test_who_is_bound_to_a_node_that_is_emptied() -> None:
    assert found(BOUND, 4, 5, 6, 7) == [
        (
            Risk.BINDINGS,
            "qemu-system-x86 (42) is bound to node1, which is emptied: Linux lets go of such a "
            "binding, and memory that comes back does not restore it",
        )
    ]


def test_who_is_bound_to_a_node_that_shrinks() -> None:
    assert found(BOUND, 3) == [(Risk.BINDINGS, "cgroup /db is bound to node0, which gets smaller")]


def test_who_may_use_every_node_is_not_bound() -> None:
    free = Surroundings(bindings=(Binding(who="sh (1)", nodes=(*NODES, NodeId(2))),))
    assert found(free, 4) == []


def test_of_many_some_are_named() -> None:
    many = tuple(Binding(who=f"sh ({n})", nodes=(NodeId(1),)) for n in range(5))
    [(_, why)] = found(Surroundings(bindings=many), 4)
    assert why.startswith("sh (0), sh (1), sh (2) and 2 more are bound to node1")


def test_its_own_cpuset_has_to_include_where_pages_go() -> None:
    [(risk, _)] = found(Surroundings(own_nodes=(NodeId(1),)), 4)
    assert risk is Risk.OWN_CPUSET
    assert found(Surroundings(own_nodes=NODES), 4) == []
    assert found(Surroundings(own_nodes=(NodeId(0),)), 4) == []


def test_a_crash_kernel_that_is_not_told() -> None:
    [(risk, _)] = found(Surroundings(crash_kernel_stays_behind=True), 4)
    assert risk is Risk.CRASH_KERNEL


def rooms(movable_free: int, normal_free: int, cache: int = 0) -> tuple[ZoneRoom, ...]:
    """What is free in the zones of both nodes, in MiB; 10 MiB of it are kept back."""
    zones = ((0, ZoneType.NORMAL, normal_free, cache), (1, ZoneType.MOVABLE, movable_free, 0))
    return tuple(
        ZoneRoom(
            node=NodeId(node),
            zone=zone,
            free_bytes=free * MIB,
            min_bytes=10 * MIB,
            cache_bytes=cached * MIB,
        )
        for node, zone, free, cached in zones
    )


@pytest.mark.parametrize(
    ("free", "cache", "swap", "is_refused"),
    [
        (237, 0, 0, True),
        (238, 0, 0, False),
        (200, 38, 0, False),
        (200, 0, 38, False),
        (200, 0, 37, True),
    ],
)
def test_the_other_nodes_need_room_for_what_must_move(
    free: int, cache: int, swap: int, *, is_refused: bool
) -> None:
    """Of 256 MiB that are taken 28 are free at the most: 228 must move."""
    around = Surroundings(
        rooms=rooms(28, free, cache), swap=Swap(total_bytes=swap * MIB, free_bytes=swap * MIB)
    )
    assert bool(found(around, 4, 5)) == is_refused


def test_the_same_node_is_no_room_while_another_has_memory() -> None:
    assert found(Surroundings(rooms=rooms(28, 20)), 4, 5) == [
        (
            Risk.ROOM,
            "at least 228M must move out of node1's zone Movable, and there is room for "
            "10M on the other nodes",
        )
    ]


def test_what_lies_in_a_kernel_zone_never_goes_into_a_movable_one() -> None:
    [(risk, why)] = found(Surroundings(rooms=rooms(500, 100)), 0)
    assert risk is Risk.ROOM
    assert "room for 0B" in why


def test_on_a_single_node_what_is_left_of_it_is_the_room() -> None:
    alone = tuple(replace(b, nodes=(NodeId(0),)) for b in BLOCKS)
    room = tuple(replace(r, node=NodeId(0)) for r in rooms(100, 38))
    snapshot = machine(Surroundings(rooms=room), alone)
    assert dangers_of(taking(4), {"m": snapshot}) == ()
    assert [d.risk for d in dangers_of(taking(4, 5), {"m": snapshot})] == [Risk.ROOM]


def plan_to_bring(word: OnlineType, *numbers: int) -> Plan:
    steps = tuple(
        Step(machine="m", action=OnlineBlock(block=BlockId(n), online_type=word)) for n in numbers
    )
    return Plan(request=Offline(targets=()), marks={}, steps=steps)


@pytest.mark.parametrize(
    ("word", "count", "is_refused"),
    [
        (OnlineType.ONLINE_MOVABLE, 15, False),
        (OnlineType.ONLINE_MOVABLE, 16, True),
        (OnlineType.ONLINE_KERNEL, 16, False),
        (OnlineType.ONLINE, 16, False),
    ],
)
def test_movable_memory_past_fifteen_to_one(
    word: OnlineType, count: int, *, is_refused: bool
) -> None:
    blocks = (block(0, 0, ZoneType.NORMAL), *(block(n, 0, None) for n in range(1, count + 1)))
    plan = plan_to_bring(word, *range(1, count + 1))
    risks = [d.risk for d in dangers_of(plan, {"m": machine(Surroundings(), blocks)})]
    assert risks == ([Risk.RATIO] if is_refused else [])


def test_a_ratio_that_is_bad_already_keeps_nobody_from_making_it_better() -> None:
    blocks = (
        block(0, 0, ZoneType.NORMAL),
        *(block(n, 0, ZoneType.MOVABLE) for n in range(1, 40)),
    )
    assert dangers_of(taking(39), {"m": machine(Surroundings(), blocks)}) == ()


def counted(poisoned: int) -> Snapshot:
    """A machine of which the four blocks of node 1 were counted."""
    kinds = {PageKind.FREE: 32768 - poisoned, PageKind.POISONED: poisoned}
    census = {BlockId(n): BlockCensus(block=BlockId(n), pages=kinds) for n in range(4, 8)}
    return replace(machine(Surroundings()), census=census)


def test_a_block_that_would_never_come_back() -> None:
    assert dangers_of(taking(5, 4), {"m": counted(0)}) == ()
    [danger] = dangers_of(taking(5, 4), {"m": counted(2)})
    assert (danger.risk, danger.why) == (
        Risk.POISONED,
        "memory4-5 has poisoned pages: Linux takes such a block offline, and from 6.12 on "
        "never brings it online again",
    )


POISONED = """
command_line = "memhp_default_state=online_movable"
[[node]]
memory = "2G"
[[dimm]]
size = "256M"
[[failures.poisoned]]
address = "0x100000000"
pages = 2
"""


class Counting:
    """A machine that remembers which blocks it was asked to count."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self.counted: list[tuple[BlockId, ...]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._machine, name)

    def census(self, blocks: Sequence[BlockId]) -> Mapping[BlockId, BlockCensus]:
        self.counted.append(tuple(blocks))
        return self._machine.census(blocks)


TWO = (BlockId(32), BlockId(33))


@pytest.mark.parametrize(
    ("request_", "accept", "ending", "looks"),
    [
        (Offline(targets=(Blocks(blocks=TWO),)), (), None, 1),
        (Evacuate(targets=(DeviceTarget(name="dimm0"),)), (), None, 1),
        (Offline(targets=(Blocks(blocks=(TWO[1],)),)), (), Ending.DONE, 1),
        (Offline(targets=(Blocks(blocks=TWO),)), (Risk.POISONED,), Ending.DONE, 0),
        (Remove(device="dimm0"), (), Ending.DONE, 0),
        (Replace(device="dimm0"), (), Ending.DONE, 0),
    ],
    ids=["offline", "evacuate", "another block", "accepted", "remove", "replace"],
)
def test_only_what_should_come_back_is_counted_and_once(
    request_: Request, accept: tuple[Risk, ...], ending: Ending | None, looks: int, tmp_path: Path
) -> None:
    """A device with poisoned pages is taken out for them: nobody has to be asked for that."""
    path = tmp_path / "m.machine"
    StateFile.create(path, POISONED).close()
    there = Counting(open_machine(f"model:{path}"))
    before = there.snapshot()
    conductor = Conductor(
        machines={"m": cast(Machine, there)}, folder=tmp_path / "j", listener=lambda _event: None
    )
    operation = Operation(request=request_, conditions=Conditions(accept=accept))
    if ending is None:
        with pytest.raises(CannotPlan, match="--accept poisoned"):
            conductor.begin(operation)
        assert there.snapshot() == before
    else:
        assert conductor.begin(operation) is ending
    assert len(there.counted) == looks


def test_every_risk_has_to_be_accepted() -> None:
    both = {"m": machine(replace(BOUND, crash_kernel_stays_behind=True))}
    with pytest.raises(CannotPlan) as caught:
        check_risks(taking(4), both, (Risk.BINDINGS,))
    assert caught.value.advice == "do it all the same with '--accept bindings,crash-kernel'"
    check_risks(taking(4), both, (Risk.BINDINGS, Risk.CRASH_KERNEL))


def test_what_is_refused_leaves_no_journal_and_what_is_accepted_is_kept(tmp_path: Path) -> None:
    """A model goes the same way; its memory is movable to more than 15 to 1."""
    text = 'command_line = "memhp_default_state=offline"\n[[node]]\nmemory = "1G"\n'
    text += '[[dimm]]\nsize = "16G"\n'
    (tmp_path / "m.toml").write_text(text)
    opened = open_machine(f"model:{tmp_path}/m.toml")
    blocks = [b.block for b in opened.snapshot(Want.BLOCKS).blocks if b.state == "offline"]
    assert len(blocks) == 128
    request = _online(blocks)
    conductor = Conductor(
        machines={opened.name: opened}, folder=tmp_path / "state", listener=lambda _event: None
    )
    with pytest.raises(CannotPlan, match="--accept ratio"):
        conductor.begin(Operation(request=request))
    assert Journals(tmp_path / "state").names() == []
    taken = Conditions(accept=(Risk.RATIO,))
    assert conductor.begin(Operation(request=request, conditions=taken)) is Ending.DONE
    [name] = Journals(tmp_path / "state").names()
    assert Journals(tmp_path / "state").read(name).begun.conditions == taken


def _online(blocks: list[BlockId]) -> Online:
    return Online(targets=(Blocks(blocks=tuple(blocks)),), online_type=OnlineType.ONLINE_MOVABLE)
