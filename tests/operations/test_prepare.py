"""What is planned before blocks go, and what of it is put back: pure functions of snapshots."""

from dataclasses import replace
from pathlib import Path

import pytest

from memhp.core.census import PageKind
from memhp.core.errors import CannotPlan, JournalError
from memhp.core.geometry import GIB, MIB, BlockId, NodeId
from memhp.core.outcome import Done, Outcome, Partly, Refused
from memhp.core.plan import ExpectHugePages, HoldHugePages, Plan, Step, plan_of
from memhp.core.request import Conditions, Offline, Remove, Request, Undo
from memhp.core.snapshot import Device, MemoryBlock, Snapshot, Want
from memhp.core.surroundings import HugePool, Surroundings, ZoneRoom
from memhp.core.targets import Blocks
from memhp.core.words import BlockState, DeviceKind, Ending, OnlineType, Preparation, ZoneType
from memhp.machines.model import ModelMachine
from memhp.machines.open import open_machine
from memhp.model.store import StateFile
from memhp.operations.conduct import Conductor
from memhp.operations.found_again import outcome_found
from memhp.operations.make_steps import hold_step, offline_step, online_step
from memhp.operations.next_leg import ending_of, next_leg
from memhp.operations.operation import Leg, Operation, before_of, things_of
from memhp.operations.plan_prepare import can_spare, check_pools, prepared
from memhp.operations.plan_restore import plan_restore
from memhp.operations.settle_prepared import plan_settle

ALL = (Preparation.HUGEPAGES, Preparation.COMPACT, Preparation.DROP_CACHES)
HUGEPAGES = (Preparation.HUGEPAGES,)
SIZE = 128 * MIB
HUGE = 2 * MIB


def block(number: int, node: int, *, online: bool = True) -> MemoryBlock:
    return MemoryBlock(
        block=BlockId(number),
        state=BlockState.ONLINE if online else BlockState.OFFLINE,
        zone=ZoneType.MOVABLE if online else None,
        nodes=(NodeId(node),),
        valid_zones=("Movable",) if online else ("Normal", "Movable"),
    )


def pool(
    node: int, total: int, free: int, *, size: int = HUGE, surplus: int = 0, promised: int = 0
) -> HugePool:
    return HugePool(
        node=NodeId(node),
        size_bytes=size,
        total=total,
        free=free,
        surplus=surplus,
        promised=promised,
    )


def room(node: int, free_bytes: int) -> ZoneRoom:
    return ZoneRoom(node=NodeId(node), zone=ZoneType.NORMAL, free_bytes=free_bytes)


def machine(
    pools: tuple[HugePool, ...], nodes: int = 2, rooms: tuple[ZoneRoom, ...] = ()
) -> Snapshot:
    """Four blocks a node, from block 0 on."""
    return Snapshot(
        machine="m",
        identity="m:1",
        want=Want.BLOCKS | Want.SURROUNDINGS,
        block_size_bytes=SIZE,
        blocks=tuple(block(n, n // 4) for n in range(4 * nodes)),
        surroundings=Surroundings(huge_pools=pools, rooms=rooms),
    )


def request(*numbers: int) -> Offline:
    return Offline(targets=(Blocks(blocks=tuple(BlockId(n) for n in numbers)),))


def taking(snapshot: Snapshot, *numbers: int) -> Plan:
    steps = tuple(offline_step(snapshot, snapshot.blocks[n]) for n in numbers)
    return plan_of(request(*numbers), snapshot, steps)


def said(
    snapshot: Snapshot, *numbers: int, prepare: tuple[Preparation, ...] = HUGEPAGES
) -> list[str]:
    """What is planned before these blocks go."""
    plan = taking(snapshot, *numbers)
    steps = prepared(plan, prepare, snapshot).steps
    assert steps[len(steps) - len(plan.steps) :] == plan.steps
    return [str(step) for step in steps[: len(steps) - len(plan.steps)]]


def test_nothing_is_prepared_that_was_not_asked_for() -> None:
    snapshot = machine((pool(0, 9, 9),), nodes=1)
    assert said(snapshot, 3, prepare=()) == []


def test_a_plan_that_takes_nothing_out_needs_no_preparation() -> None:
    snapshot = replace(machine((pool(0, 9, 9),), nodes=1), blocks=(block(0, 0, online=False),))
    step = online_step(snapshot, snapshot.blocks[0], OnlineType.ONLINE)
    plan = plan_of(request(0), snapshot, (step,))
    assert prepared(plan, ALL, snapshot) == plan


def test_they_come_in_an_order_of_their_own() -> None:
    """Where pages will go is compacted, and not where they come from."""
    snapshot = machine((pool(0, 4, 4), pool(1, 3, 0)), nodes=3)
    assert said(snapshot, 7, 6, prepare=ALL) == [
        "drop caches",
        "compact node0",
        "compact node2",
    ]
    alone = machine((pool(0, 9, 5),), nodes=1)
    assert said(alone, 3, prepare=ALL) == [
        "drop caches",
        "compact node0",
        "hold 4 huge pages of 2M on node0",
    ]


ONE = "hold {} huge pages of {} on node0"


@pytest.mark.parametrize(
    ("pools", "numbers", "steps"),
    [
        pytest.param((pool(0, 9, 5),), [3], [ONE.format(4, "2M")], id="free ones go back"),
        pytest.param((pool(0, 9, 0),), [3], [], id="none is free"),
        pytest.param((pool(0, 9, 5, promised=2),), [3], [ONE.format(6, "2M")], id="but promised"),
        pytest.param((pool(0, 9, 5, surplus=1),), [3], [ONE.format(4, "2M")], id="and surplus"),
        pytest.param((pool(0, 2, 1, size=GIB),), [3], [], id="large ones need a free one"),
        pytest.param(
            (pool(0, 2, 0, size=GIB),), [3], [ONE.format(3, "1G")], id="and there is none"
        ),
    ],
)
def test_on_the_only_node(
    pools: tuple[HugePool, ...], numbers: list[int], steps: list[str]
) -> None:
    assert said(machine(pools, nodes=1), *numbers) == steps


@pytest.mark.parametrize(
    ("pools", "numbers", "steps"),
    [
        pytest.param((pool(0, 0, 0), pool(1, 9, 2)), [7], [ONE.format(7, "2M")], id="in use"),
        pytest.param((pool(0, 5, 5), pool(1, 9, 2)), [7], [ONE.format(7, "2M")], id="some free"),
        pytest.param((pool(0, 8, 8), pool(1, 9, 2)), [7], [], id="all that is needed is free"),
        pytest.param((pool(0, 0, 0), pool(1, 9, 9)), [7], [], id="none in use"),
        pytest.param(
            (pool(0, 0, 0, promised=6), pool(1, 9, 9, promised=6)),
            [7],
            [ONE.format(6, "2M")],
            id="promised",
        ),
        pytest.param(
            (pool(0, 0, 0), pool(1, 200, 0)),
            [7],
            [ONE.format(64, "2M")],
            id="no more than lie there",
        ),
        pytest.param(
            (pool(0, 1, 0, size=GIB), pool(1, 3, 0, size=GIB)),
            [6, 7],
            [ONE.format(2, "1G")],
            id="one of 1 GiB",
        ),
        pytest.param((pool(0, 4, 4), pool(1, 0, 0)), [7], [], id="none at all"),
    ],
)
def test_with_another_node(
    pools: tuple[HugePool, ...], numbers: list[int], steps: list[str]
) -> None:
    assert said(machine(pools), *numbers) == steps


def test_more_than_one_node_takes_part_where_none_has_room_for_all() -> None:
    pools = (pool(0, 0, 0), pool(1, 9, 0), pool(2, 1, 0))
    rooms = (room(0, 5 * HUGE), room(2, 6 * HUGE + 1))
    assert said(machine(pools, nodes=3, rooms=rooms), 7) == [
        "hold 7 huge pages of 2M on node2",
        "hold 3 huge pages of 2M on node0",
    ]


def test_what_can_be_spared_is_never_in_use_or_promised() -> None:
    pools = (pool(0, 4, 4, promised=5), pool(1, 6, 3, promised=5))
    assert [can_spare(each, pools) for each in pools] == [2, 2]


def test_a_machine_without_pools_says_so() -> None:
    snapshot = machine(())
    with pytest.raises(CannotPlan, match="'m' shows no pools of huge pages"):
        check_pools(taking(snapshot, 7), HUGEPAGES, snapshot)
    check_pools(taking(snapshot, 7), (Preparation.COMPACT,), snapshot)


def held(node: int, before: int, count: int) -> Step:
    return hold_step("m", pool(node, before, 0), count)


def done(
    before: Snapshot, step: Step, outcome: Outcome | None = None, what: Request | None = None
) -> Operation:
    """An operation that has prepared this, and taken a block."""
    plan = taking(before, len(before.blocks) - 1)
    plan = replace(plan, steps=(step, *plan.steps), request=what or plan.request)
    outcomes = (outcome or Done(), Done()) if isinstance(outcome, Done | None) else (outcome,)
    leg = Leg(plan=plan, before=before_of(plan, {"m": before}), outcomes=outcomes)
    conditions = Conditions(prepare=HUGEPAGES)
    return Operation(request=plan.request, conditions=conditions, legs=(leg,))


def settled(operation: Operation, *pools: HugePool) -> list[str]:
    return [str(s) for s in plan_settle(operation, {"m": machine(pools)}).steps]


def test_free_pages_of_the_only_node_come_back() -> None:
    operation = done(machine((pool(0, 9, 5),), nodes=1), held(0, 9, 4))
    assert settled(operation, pool(0, 4, 0)) == ["hold 9 huge pages of 2M on node0"]
    assert settled(operation, pool(0, 9, 5)) == []


BEFORE = machine((pool(0, 2, 2), pool(1, 9, 2)))


@pytest.mark.parametrize(
    ("now", "steps"),
    [
        pytest.param((pool(0, 7, 0), pool(1, 0, 0)), [], id="all have gone there"),
        pytest.param((pool(0, 7, 5), pool(1, 6, 1)), [ONE.format(5, "2M")], id="some have"),
        pytest.param((pool(0, 7, 7), pool(1, 9, 2)), [ONE.format(2, "2M")], id="none has"),
        pytest.param((pool(0, 7, 1), pool(1, 9, 2)), [ONE.format(6, "2M")], id="others have them"),
        pytest.param((pool(0, 2, 2), pool(1, 9, 2)), [], id="it is so already"),
        pytest.param((pool(0, 7, 3),), [], id="their node is gone"),
    ],
)
def test_what_is_too_much_on_another_node_goes_back(
    now: tuple[HugePool, ...], steps: list[str]
) -> None:
    assert settled(done(BEFORE, held(0, 2, 7)), *now) == steps


def test_a_pool_is_put_back_once_and_only_where_it_was_changed() -> None:
    now = (pool(0, 7, 7), pool(1, 9, 2))
    refused = done(BEFORE, held(0, 2, 7), Refused(reason="no"))
    assert settled(refused, *now) == []
    operation = done(BEFORE, held(0, 2, 7))
    plan = plan_settle(operation, {"m": machine(now)})
    leg = Leg(plan=plan, before={}, settles=True, outcomes=(Refused(reason="no"),))
    assert settled(operation.with_leg(leg), *now) == []
    assert settled(replace(operation, request=Undo(operation="1")), *now) == []


def test_undoing_gives_each_pool_its_number() -> None:
    """First those that shrank, so that none is missing that is promised."""
    before = {"m": BEFORE.surroundings.huge_pools}
    now = machine((pool(0, 9, 0), pool(1, 0, 0)))
    plan = plan_restore(Undo(operation="1"), before, {"m": now})
    assert [(step.action, step.expect) for step in plan.steps] == [
        (
            HoldHugePages(node=NodeId(node), size_bytes=HUGE, count=count),
            ExpectHugePages(node=NodeId(node), size_bytes=HUGE, count=was),
        )
        for node, count, was in ((1, 9, 0), (0, 2, 9))
    ]
    assert plan_restore(Undo(operation="1"), before, {"m": BEFORE}).steps == ()


def with_offline(snapshot: Snapshot) -> Snapshot:
    last = snapshot.blocks[-1].block
    return replace(snapshot, blocks=(*snapshot.blocks[:-1], block(last, 1, online=False)))


def test_a_request_is_done_and_then_what_was_prepared_is_put_back() -> None:
    operation = done(BEFORE, held(0, 2, 7))
    now = {"m": with_offline(machine((pool(0, 7, 7), pool(1, 9, 2))))}
    leg = next_leg(operation, now, late=True)
    assert leg is not None
    assert (leg.settles, leg.to_the_end, leg.back) == (True, True, False)
    operation = operation.with_leg(leg.with_outcome(Done()))
    now = {"m": with_offline(machine((pool(0, 2, 2), pool(1, 9, 2))))}
    assert next_leg(operation, now) is None
    assert ending_of(operation, now) is Ending.DONE


def test_what_cannot_be_put_back_is_not_called_done() -> None:
    operation = done(BEFORE, held(0, 2, 7))
    now = {"m": with_offline(machine((pool(0, 7, 7), pool(1, 9, 2))))}
    leg = next_leg(operation, now)
    assert leg is not None
    operation = operation.with_leg(leg.with_outcome(Refused(reason="no")))
    assert next_leg(operation, now) is None
    assert ending_of(operation, now) is Ending.PARTLY


def test_a_device_is_not_taken_out_where_its_preparation_failed() -> None:
    device = Device(
        name="dimm0", kind=DeviceKind.DIMM, size_bytes=SIZE, node=NodeId(1), present=True
    )
    snapshot = replace(BEFORE, devices=(device,))
    partly = Partly(done_bytes=HUGE, wanted_bytes=5 * HUGE, reason="no room")
    operation = done(snapshot, held(0, 2, 7), partly, Remove(device="dimm0"))
    now = {
        "m": replace(snapshot, surroundings=Surroundings(huge_pools=(pool(0, 3, 3), pool(1, 9, 2))))
    }
    leg = next_leg(operation, now)
    assert leg is not None
    assert (leg.back, [str(step) for step in leg.plan.steps]) == (True, [ONE.format(2, "2M")])
    operation = operation.with_leg(leg.with_outcome(Done()))
    assert ending_of(operation, {"m": snapshot}) is Ending.PUT_BACK


@pytest.mark.parametrize(
    ("now", "outcome"),
    [
        (2, None),
        (7, Done(note="found done")),
        (4, Partly(done_bytes=2 * HUGE, wanted_bytes=5 * HUGE, reason="found so")),
        (1, None),
    ],
)
def test_what_a_kill_has_left_of_a_pool_is_found(now: int, outcome: Outcome | None) -> None:
    there = things_of(machine((pool(0, now, 0), pool(1, 9, 0))))
    step = held(0, 2, 7)
    leg = done(BEFORE, step).legs[0]
    assert outcome_found(step, there, leg) == outcome


BIG = """
[[node]]
memory = "8G"
[[node]]
memory = "4G"
[workload]
[[workload.step]]
process = "db"
grow = "hugetlb-1G"
size = "1G"
node = 1
"""
POOL = "/sys/devices/system/node/node0/hugepages/hugepages-1048576kB/nr_hugepages"


def test_a_page_of_one_gib_moves_only_where_one_was_made_ready(tmp_path: Path) -> None:
    """And undoing leaves a pool alone that somebody has changed since."""
    path = tmp_path / "m.machine"
    StateFile.create(path, BIG).close()
    model = open_machine(f"model:{path}")
    assert isinstance(model, ModelMachine)
    numbers = [b.block for b in model.snapshot(Want.BLOCKS).blocks]
    census = model.census(numbers)
    huge = next(n for n in numbers if census[n].pages.get(PageKind.HUGETLB))
    conductor = Conductor(
        machines={"m": model}, folder=tmp_path / "j", listener=lambda _event: None
    )
    operation = Operation(request=request(huge))
    assert conductor.begin(operation) is Ending.REFUSED
    ready = replace(operation, conditions=Conditions(prepare=HUGEPAGES))
    assert conductor.begin(ready) is Ending.DONE
    model.write_file(POOL, "3")
    with pytest.raises(JournalError, match="node0 holds 3 huge pages of 1G, and it was not left"):
        conductor.undo("2")
    model.write_file(POOL, "1")
    assert conductor.undo("2") is Ending.DONE
    pools = model.snapshot(Want.HUGE_POOLS).surroundings.huge_pools
    found = [(p.node, p.total, p.free, p.surplus) for p in pools if p.size_bytes == GIB]
    assert found == [(0, 1, 0, 1), (1, 1, 1, 0)]
