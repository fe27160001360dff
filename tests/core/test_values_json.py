"""Values from JSON: what is none of the wanted type is one sentence."""

import json
from typing import Any

import pytest

from memhp.core.outcome import Outcome
from memhp.core.plan import Plan
from memhp.core.values_json import ValueFormatError, from_json, parse_json

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
