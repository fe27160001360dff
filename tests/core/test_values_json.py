"""Values as JSON and back are the same; what is none of the wanted type is one sentence."""

import json
from dataclasses import fields
from typing import Any, Union, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memhp.core import plan, request
from memhp.core.geometry import BlockId, NodeId
from memhp.core.outcome import Outcome
from memhp.core.plan import Action, Expectation, Plan
from memhp.core.ranges import PhysRange
from memhp.core.request import Request
from memhp.core.snapshot import Device, HostBudget, Room
from memhp.core.targets import Addresses, Blocks
from memhp.core.values_json import ValueFormatError, from_json, parse_json, to_json

ranges = st.builds(PhysRange.at, st.integers(0, 1 << 40), st.integers(1, 1 << 30))
st.register_type_strategy(PhysRange, ranges)
blocks = st.lists(st.integers(0, 99).map(BlockId), unique=True)
st.register_type_strategy(Blocks, st.builds(Blocks, blocks=blocks.map(sorted).map(tuple)))
st.register_type_strategy(Addresses, st.builds(Addresses, range=ranges))
KINDS: list[Any] = [
    *get_args(Request),
    *get_args(Action),
    *get_args(Expectation),
    *get_args(Outcome),
    Device,
    Room,
    HostBudget,
    Plan,
]


def over_the_wire(kind: Any, value: Any) -> Any:
    return from_json(kind, json.loads(json.dumps(to_json(value))))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_a_value_comes_back_as_it_was(kind: Any, data: st.DataObject) -> None:
    value = data.draw(st.from_type(kind))
    assert over_the_wire(kind, value) == value


@pytest.mark.parametrize("union", [Request, Action, Expectation, Outcome])
@given(data=st.data())
def test_a_union_tells_its_members_apart(union: Any, data: st.DataObject) -> None:
    value = data.draw(st.one_of([st.from_type(kind) for kind in get_args(union)]))
    back = over_the_wire(union, value)
    assert (type(back), back) == (type(value), value)


def test_nothing_is_left_out_of_the_unions() -> None:
    """A request or an action that is defined is one that a journal can hold."""
    defined = {v for v in vars(request).values() if isinstance(v, type) and fields_of(v)}
    assert defined - {request.Conditions} >= set(get_args(Request))
    named = {"OnlineBlock", "OfflineBlock", "AddDevice", "RemoveDevice", "ResizeDevice"}
    named |= {"AwaitDevice", "DropCaches", "CompactNode", "HoldHugePages"}
    assert {kind.__name__ for kind in get_args(plan.Action)} == named


def fields_of(kind: type) -> bool:
    return hasattr(kind, "__dataclass_fields__") and bool(fields(kind))


@pytest.mark.parametrize(
    "item",
    [
        {"type": "Resize"},
        {"type": "Resize", "device": 3},
        {"type": "Resize", "device": "v", "size_bytes": "1G"},
        {"type": "Move", "size_bytes": 1, "giver": "a"},
        {"type": "Remove", "device": "d", "more": 1},
        {"type": "Nothing"},
        {},
        [],
        None,
        "Remove",
    ],
)
def test_what_is_no_request_is_told(item: Any) -> None:
    with pytest.raises(ValueFormatError):
        from_json(Union[*get_args(Request)], item)


def test_fields_with_defaults_may_be_missing() -> None:
    """A journal of an earlier version has no fields that came later."""
    old = {
        "type": "Device",
        "name": "dimm0",
        "kind": "dimm",
        "size_bytes": 1 << 30,
        "node": 0,
        "present": True,
    }
    device = from_json(Device, old)
    assert (device.node, device.requested_bytes, device.pending) == (NodeId(0), None, None)


WRONG: dict[str, tuple[Any, Any]] = {
    "a type that is no text": (Outcome, {"type": []}),
    "a type that is an object": (Outcome, {"type": {"type": "Done"}}),
    "an unknown type": (Outcome, {"type": "Undone"}),
    "no object": (Outcome, [1]),
    "too few fields": (Plan, {"type": "Plan", "steps": []}),
}


@pytest.mark.parametrize(("kind", "item"), WRONG.values(), ids=WRONG.keys())
def test_what_is_no_value(kind: Any, item: Any) -> None:
    with pytest.raises(ValueFormatError, match=r"is no .*: the file is damaged or not memhp's"):
        from_json(kind, item)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000])
def test_what_is_nested_too_deep_is_no_json(text: str) -> None:
    with pytest.raises(ValueError, match=r"nested too deep|Expecting value"):
        parse_json(text)


@pytest.mark.parametrize("depth", range(100, 1000, 50))
def test_any_depth_that_json_has_is_told(depth: int) -> None:
    try:
        item = json.loads("[" * depth + "]" * depth)
    except RecursionError:
        return
    with pytest.raises(ValueFormatError, match="is no Plan"):
        from_json(Plan, item)
