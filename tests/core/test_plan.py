"""Steps and expectations as text, and the mark of what a plan rests on."""

from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memhp.core.geometry import BlockId, NodeId
from memhp.core.plan import (
    Action,
    AddDevice,
    ExpectBlock,
    ExpectDevice,
    OfflineBlock,
    OnlineBlock,
    RemoveDevice,
    ResizeDevice,
    Step,
    mark_of,
)
from memhp.core.ranges import PhysRange
from memhp.core.request import Add, Move, Offline, Online, Remove, Replace, Request, Resize
from memhp.core.snapshot import Device, MemoryBlock
from memhp.core.targets import Amount, Blocks, NodeTarget
from memhp.core.words import BlockState, DeviceKind, OnlineType, ZoneType

BLOCK = MemoryBlock(
    block=BlockId(32),
    state=BlockState.ONLINE,
    zone=ZoneType.MOVABLE,
    nodes=(NodeId(0),),
    valid_zones=("Movable",),
    device="dimm0",
)
DEVICE = Device(
    name="dimm0",
    kind=DeviceKind.DIMM,
    size_bytes=1 << 30,
    node=NodeId(0),
    present=True,
    ranges=(PhysRange.at(1 << 32, 1 << 30),),
)

ACTIONS: list[tuple[Action, str]] = [
    (OnlineBlock(block=BlockId(7), online_type=OnlineType.ONLINE), "online memory7"),
    (
        OnlineBlock(block=BlockId(7), online_type=OnlineType.ONLINE_MOVABLE),
        "online_movable memory7",
    ),
    (OfflineBlock(block=BlockId(7)), "offline memory7"),
    (AddDevice(device="dimm0"), "add dimm0"),
    (AddDevice(device="dimm0", size_bytes=1 << 30), "add dimm0 of 1G"),
    (AddDevice(device="dimm0", node=NodeId(0)), "add dimm0 to node0"),
    (
        AddDevice(device="dimm0", size_bytes=3 << 29, node=NodeId(1)),
        "add dimm0 of 1536M to node1",
    ),
    (RemoveDevice(device="dimm0"), "remove dimm0"),
    (ResizeDevice(device="virtio-mem0", requested_bytes=3 << 29), "resize virtio-mem0 to 1536M"),
    (ResizeDevice(device="virtio-mem0", requested_bytes=0), "resize virtio-mem0 to 0B"),
]


@pytest.mark.parametrize(("action", "text"), ACTIONS, ids=[text for _, text in ACTIONS])
def test_what_a_step_says(action: Action, text: str) -> None:
    assert str(action) == text
    assert str(Step(machine="model:", action=action)) == text


def expected(state: BlockState, zone: ZoneType | None) -> ExpectBlock:
    return ExpectBlock(block=BlockId(7), state=state, zone=zone)


@pytest.mark.parametrize(
    ("expectation", "text"),
    [
        (expected(BlockState.ONLINE, ZoneType.MOVABLE), "memory7: online, Movable"),
        (expected(BlockState.OFFLINE, None), "memory7: offline"),
        (ExpectDevice(device="dimm0", present=True), "dimm0: present"),
        (ExpectDevice(device="dimm0", present=False), "dimm0: absent"),
        (
            ExpectDevice(device="v0", present=True, requested_bytes=1 << 30),
            "v0: present, 1G asked",
        ),
    ],
    ids=["online", "offline", "present", "absent", "size"],
)
def test_what_is_expected_says(expectation: ExpectBlock | ExpectDevice, text: str) -> None:
    assert str(expectation) == text


NODE = NodeTarget(node=NodeId(1))
REQUESTS: list[tuple[Request, str]] = [
    (Online(targets=(NODE,)), "online node1"),
    (
        Online(
            targets=(Blocks(blocks=(BlockId(1), BlockId(2))), Amount(size_bytes=1 << 30)),
            online_type=OnlineType.ONLINE_KERNEL,
        ),
        "online_kernel memory1-2 1G",
    ),
    (Offline(targets=(NODE, NODE)), "offline node1 node1"),
    (Add(device="dimm0"), "add dimm0"),
    (Add(size_bytes=1 << 30, node=NodeId(0)), "add 1G to node0"),
    (Add(device="dimm0", node=NodeId(2)), "add dimm0 to node2"),
    (Remove(device="dimm0"), "remove dimm0"),
    (Resize(device="virtio-mem0", size_bytes=1 << 30), "resize virtio-mem0 to 1G"),
    (Resize(device="virtio-mem0", by_bytes=1 << 30), "resize virtio-mem0 by +1G"),
    (Resize(device="virtio-mem0", by_bytes=-(3 << 29)), "resize virtio-mem0 by -1536M"),
    (Replace(device="dimm0"), "replace dimm0"),
    (Replace(block=BlockId(40), add_first=True), "replace memory40"),
    (Replace(address=0x140000000), "replace 0x140000000"),
    (Move(size_bytes=2 << 30, giver="web", taker="db"), "move 2G from web to db"),
]


@pytest.mark.parametrize(("request_", "text"), REQUESTS, ids=[text for _, text in REQUESTS])
def test_what_a_request_says(request_: Request, text: str) -> None:
    assert str(request_) == text


# One other value for each field; a field that is added must be added here.
OTHER_BLOCK: dict[str, Any] = {
    "block": BlockId(33),
    "state": BlockState.OFFLINE,
    "zone": ZoneType.NORMAL,
    "nodes": (NodeId(0), NodeId(1)),
    "valid_zones": ("Movable", "Normal"),
    "device": None,
}
OTHER_DEVICE: dict[str, Any] = {
    "name": "dimm1",
    "kind": DeviceKind.VIRTIO_MEM,
    "size_bytes": 2 << 30,
    "node": None,
    "present": False,
    "ranges": (),
    "requested_bytes": 2 << 30,
    "plugged_bytes": 1 << 30,
    "unit_bytes": 2 << 20,
}
NO_STRUCTURE: dict[str, Any] = {"pending": True, "verdict": "device in use"}
"""Answers of the guest, which come and go without a change of what it has."""


def test_the_mark_knows_every_field() -> None:
    assert [field.name for field in fields(MemoryBlock)] == list(OTHER_BLOCK)
    assert [field.name for field in fields(Device)] == [*OTHER_DEVICE, *NO_STRUCTURE]


@pytest.mark.parametrize("name", OTHER_BLOCK)
def test_the_mark_changes_with_each_fact_of_a_block(name: str) -> None:
    other = replace(BLOCK, **{name: OTHER_BLOCK[name]})
    assert mark_of("boot1", [other, DEVICE]) != mark_of("boot1", [BLOCK, DEVICE])


@pytest.mark.parametrize("name", OTHER_DEVICE)
def test_the_mark_changes_with_each_fact_of_a_device(name: str) -> None:
    other = replace(DEVICE, **{name: OTHER_DEVICE[name]})
    assert mark_of("boot1", [BLOCK, other]) != mark_of("boot1", [BLOCK, DEVICE])


@pytest.mark.parametrize("name", NO_STRUCTURE)
def test_the_mark_stays_whatever_a_guest_answers(name: str) -> None:
    other = replace(DEVICE, **{name: NO_STRUCTURE[name]})
    assert mark_of("boot1", [BLOCK, other]) == mark_of("boot1", [BLOCK, DEVICE])


@pytest.mark.parametrize(
    ("identity", "objects"),
    [
        ("boot2", [BLOCK, DEVICE]),
        ("", [BLOCK, DEVICE]),
        ("boot1", [BLOCK]),
        ("boot1", [DEVICE]),
        ("boot1", []),
        ("boot1", [BLOCK, DEVICE, BLOCK]),
    ],
    ids=["restarted", "nameless", "no-device", "no-block", "nothing", "more"],
)
def test_the_mark_changes_with_what_is_touched(
    identity: str, objects: list[MemoryBlock | Device]
) -> None:
    assert mark_of(identity, objects) != mark_of("boot1", [BLOCK, DEVICE])


def test_the_mark_stays_where_nothing_changed() -> None:
    copies = (replace(BLOCK), replace(DEVICE))
    assert mark_of("boot1", iter(copies)) == mark_of("boot1", [BLOCK, DEVICE])


def test_the_mark_of_a_saved_plan_fits_another_day() -> None:
    assert mark_of("boot1", [BLOCK, DEVICE]) == "93a28e1aed059d88"


states = st.builds(
    MemoryBlock,
    block=st.integers(0, 3).map(BlockId),
    state=st.sampled_from(BlockState),
    zone=st.none() | st.sampled_from(ZoneType),
    nodes=st.lists(st.integers(0, 1).map(NodeId), max_size=2).map(tuple),
    valid_zones=st.lists(st.sampled_from(["Normal", "Movable", "none"]), max_size=2).map(tuple),
    device=st.none() | st.text(max_size=3),
)


@given(
    st.text(max_size=3),
    st.lists(states, max_size=3),
    st.text(max_size=3),
    st.lists(states, max_size=3),
)
def test_marks_are_equal_where_what_they_rest_on_is(
    identity: str, blocks: list[MemoryBlock], other_identity: str, others: list[MemoryBlock]
) -> None:
    same = (identity, blocks) == (other_identity, others)
    assert (mark_of(identity, blocks) == mark_of(other_identity, others)) is same
