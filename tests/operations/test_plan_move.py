"""What moves is chosen well: exactly where that can be, and else with the least left over."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memhp.core.errors import CannotPlan
from memhp.core.geometry import MIB, BlockId, NodeId
from memhp.core.plan import AddDevice, RemoveDevice, ResizeDevice, Step
from memhp.core.ranges import PhysRange
from memhp.core.request import Move
from memhp.core.snapshot import Device, HostBudget, MemoryBlock, Room, Snapshot, Want
from memhp.core.words import BlockState, DeviceKind, ZoneType
from memhp.operations.plan_move import (
    Take,
    check_giver,
    check_hosts,
    could_take,
    plan_give,
    plan_take,
    reserve_bytes,
)

BLOCK = 128 * MIB
NONE: frozenset[str] = frozenset()


def move(size_bytes: int, reserve_bytes: int | None = None) -> Move:
    return Move(size_bytes=size_bytes, giver="a", taker="b", reserve_bytes=reserve_bytes)


def virtio(name: str, plugged: int, most: int = 64 * BLOCK, unit: int = 2 * MIB) -> Device:
    return Device(
        name=name,
        kind=DeviceKind.VIRTIO_MEM,
        size_bytes=most,
        node=NodeId(0),
        present=True,
        requested_bytes=plugged,
        plugged_bytes=plugged,
        unit_bytes=unit,
    )


def dimm(name: str, first: int, nr_blocks: int) -> Device:
    return Device(
        name=name,
        kind=DeviceKind.DIMM,
        size_bytes=nr_blocks * BLOCK,
        node=NodeId(0),
        present=True,
        ranges=(PhysRange.at(first * BLOCK, nr_blocks * BLOCK),),
    )


def blocks_of(device: Device, zone: ZoneType | None = ZoneType.MOVABLE) -> list[MemoryBlock]:
    return [
        MemoryBlock(
            block=BlockId(number),
            state=BlockState.ONLINE,
            zone=zone,
            nodes=(NodeId(0),),
            valid_zones=("none" if zone is None else str(zone),),
            device=device.name,
        )
        for part in device.ranges
        for number in part.blocks_touched(BLOCK)
    ]


def machine(
    *devices: Device,
    blocks: list[MemoryBlock] | None = None,
    name: str = "a",
    room: Room | None = None,
) -> Snapshot:
    mine = [b for d in devices for b in blocks_of(d)] if blocks is None else blocks
    return Snapshot(
        machine=name,
        identity=name,
        want=Want.ALL,
        block_size_bytes=BLOCK,
        blocks=tuple(mine),
        devices=devices,
        room=room or Room(),
    )


def removed(take: Take) -> list[str]:
    return [s.action.device for s in take.steps if isinstance(s.action, RemoveDevice)]


def asked(steps: tuple[Step, ...]) -> dict[str, int]:
    actions = [step.action for step in steps]
    return {a.device: a.requested_bytes for a in actions if isinstance(a, ResizeDevice)}


sizes = st.lists(st.integers(1, 9), max_size=6)


@given(sizes, st.integers(0, 600), st.integers(1, 3000))
def test_the_least_is_left_over(blocks: list[int], soft: int, wanted: int) -> None:
    """Against every choice there is: DIMMs go whole, virtio-mem gives 2 MiB exactly."""
    soft_bytes, wanted_bytes = soft * 2 * MIB, wanted * 2 * MIB
    firsts = [sum(blocks[:place]) for place in range(len(blocks))]
    dimms = [
        dimm(f"dimm{n}", first, size)
        for n, (first, size) in enumerate(zip(firsts, blocks, strict=True))
    ]
    take = plan_take(
        move(wanted_bytes), machine(virtio("v", soft_bytes), *dimms), wanted_bytes, NONE
    )
    sums = {
        sum(d.size_bytes for d in chosen)
        for count in range(len(dimms) + 1)
        for chosen in combinations(dimms, count)
    }
    enough = [max(total, wanted_bytes) for total in sums if total + soft_bytes >= wanted_bytes]
    if not enough:
        assert take is None
        return
    assert take is not None
    assert take.size_bytes == min(enough)
    gone = sum(d.size_bytes for d in dimms if d.name in removed(take))
    given_bytes = soft_bytes - asked(take.steps).get("v", soft_bytes)
    assert (gone + given_bytes, gone == 0 or soft_bytes < wanted_bytes) == (take.size_bytes, True)


def test_a_device_in_the_movable_zone_goes_first() -> None:
    kernel, movable = dimm("dimm0", 9, 2), dimm("dimm1", 0, 2)
    blocks = [*blocks_of(movable), *blocks_of(kernel, ZoneType.NORMAL)]
    take = plan_take(move(1), machine(kernel, movable, blocks=blocks), 2 * BLOCK, NONE)
    assert take is not None
    assert removed(take) == ["dimm1"]


def test_a_device_with_a_block_in_two_zones_never_goes() -> None:
    one = dimm("dimm0", 0, 2)
    snapshot = machine(one, blocks=blocks_of(one, None))
    assert plan_take(move(1), snapshot, BLOCK, NONE) is None
    assert could_take(snapshot, NONE) == 0


def test_what_was_tried_in_vain_is_left_out() -> None:
    snapshot = machine(virtio("v", BLOCK), dimm("dimm0", 0, 2))
    take = plan_take(move(1), snapshot, BLOCK, frozenset({"v"}))
    assert take is not None
    assert (removed(take), take.size_bytes) == (["dimm0"], 2 * BLOCK)
    assert could_take(snapshot, frozenset({"v", "dimm0"})) == 0


def test_the_larger_device_gives_first_and_the_last_share_is_rounded_up() -> None:
    snapshot = machine(virtio("v", BLOCK), virtio("w", 2 * BLOCK, unit=BLOCK))
    take = plan_take(move(1), snapshot, 2 * BLOCK + MIB, NONE)
    assert take is not None
    assert asked(take.steps) == {"w": 0, "v": BLOCK - 2 * MIB}
    assert (take.size_bytes, take.in_use_bytes) == (2 * BLOCK + 2 * MIB, 2 * BLOCK + 2 * MIB)


def test_giving_fills_the_device_with_most_room_and_a_dimm_takes_the_rest() -> None:
    taker = machine(virtio("v", BLOCK, 2 * BLOCK), virtio("w", 0, 3 * BLOCK), name="b")
    steps = plan_give(move(1), taker, 6 * BLOCK)
    assert asked(steps) == {"w": 3 * BLOCK, "v": 2 * BLOCK}
    [added] = [step.action for step in steps if isinstance(step.action, AddDevice)]
    assert added == AddDevice(device="dimm0", size_bytes=2 * BLOCK, node=NodeId(0))


@pytest.mark.parametrize(
    ("room", "size_bytes", "told"),
    [
        (Room(free_slots=0), BLOCK, "no free DIMM slot"),
        (Room(free_bytes=BLOCK - 1), BLOCK, "no addresses"),
        (Room(), 2 * MIB, "no multiple of 128M"),
    ],
)
def test_no_place_at_the_taker(room: Room, size_bytes: int, told: str) -> None:
    with pytest.raises(CannotPlan, match=told):
        plan_give(move(1), machine(room=room, name="b"), size_bytes)


@pytest.mark.parametrize(
    ("nr_blocks", "reserve", "expected"),
    [(8, None, 512 * MIB), (64, None, BLOCK * 8), (64, 3, 3)],
)
def test_the_reserve(nr_blocks: int, reserve: int | None, expected: int) -> None:
    assert reserve_bytes(move(1, reserve), machine(dimm("d", 0, nr_blocks))) == expected


def test_the_giver_keeps_its_reserve_to_the_byte() -> None:
    giver = machine(dimm("d", 0, 8))
    enough = Take(steps=(), size_bytes=BLOCK, in_use_bytes=BLOCK)
    check_giver(move(1, 7 * BLOCK), giver, enough)
    with pytest.raises(CannotPlan, match="would keep 896M online, and its reserve is"):
        check_giver(move(1, 7 * BLOCK + 1), giver, enough)


def test_what_is_in_use_is_not_taken() -> None:
    giver = machine(dimm("d", 0, 32), room=Room(available_bytes=BLOCK))
    take = Take(steps=(), size_bytes=BLOCK, in_use_bytes=BLOCK)
    check_giver(move(1, 1), giver, take)
    more = Take(steps=(), size_bytes=BLOCK, in_use_bytes=BLOCK + 1)
    with pytest.raises(CannotPlan, match="can do without 128M"):
        check_giver(move(1, 1), giver, more)


def on_host(name: str, host: str, promised: int) -> Snapshot:
    budget = HostBudget(host=host, total_bytes=BLOCK, promised_bytes=promised)
    return Snapshot(machine=name, identity=name, want=Want.ALL, block_size_bytes=BLOCK, host=budget)


def test_hosts() -> None:
    check_hosts(move(1), on_host("a", "h", BLOCK), on_host("b", "h", BLOCK))
    with pytest.raises(CannotPlan, match="different hosts"):
        check_hosts(move(1), on_host("a", "h", 0), on_host("b", "i", 0))
    with pytest.raises(CannotPlan, match="128M more than it has"):
        check_hosts(move(1), on_host("a", "h", 2 * BLOCK), on_host("b", "h", 2 * BLOCK))
    with pytest.raises(CannotPlan, match="the same machine"):
        check_hosts(move(1), on_host("a", "h", 0), on_host("a", "h", 0))
