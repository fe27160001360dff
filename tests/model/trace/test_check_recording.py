"""Recordings that are none: the first field that is wrong is named."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memhp.core.errors import RecordingError
from memhp.model.trace.compare import compare
from memhp.model.trace.predict import predict
from memhp.model.trace.recording import parse_recording, read_recording, strip_recording

FOLDER = Path(__file__).parent / "recordings"
WHOLE = json.loads((FOLDER / "6.12" / "default-online.json").read_text())
ADD = next(place for place, step in enumerate(WHOLE["steps"]) if step["op"] == "add")
Change = Callable[[Any], object]
WRONG: dict[str, tuple[Change, str]] = {
    "no machine": (lambda d: d.pop("machine"), "'machine' is missing"),
    "a machine that is a list": (lambda d: d.update(machine=[]), "'machine' must be an object"),
    "a kernel that is a list": (lambda d: d.update(kernel=["6.12"]), "'kernel' must be text"),
    "no memory map": (
        lambda d: d["machine"].pop("memory_map"),
        "'machine.memory_map' is missing",
    ),
    "a memory map of pairs": (
        lambda d: d["machine"].update(memory_map=[[0, 1]]),
        "'machine.memory_map[0]' must have 3 items",
    ),
    "an address with a fraction": (
        lambda d: d["machine"]["srat"][0].update(start=0.5),
        "'machine.srat[0].start' must be a whole number below 4503599627370496",
    ),
    "an address that no processor has": (
        lambda d: d["machine"]["srat"][0].update(size=1 << 60),
        "'machine.srat[0].size' must be a whole number below 4503599627370496",
    ),
    "a node that is a truth value": (
        lambda d: d["machine"].update(cpu_nodes=[True]),
        "'machine.cpu_nodes[0]' must be a whole number below 1024",
    ),
    "a table from the initrd that is a number": (
        lambda d: d["machine"].update(acpi_override=7),
        "'machine.acpi_override' must be a list",
    ),
    "no memory": (
        lambda d: d["machine"].update(memory_map=[]),
        "'machine.memory_map' leaves too little memory",
    ),
    "steps that are text": (lambda d: d.update(steps="add"), "'steps' must be a list"),
    "a step that is none": (lambda d: d["steps"].append(1), "must be an object"),
    "an unknown step": (lambda d: d["steps"].append({"op": "sleep"}), "op' must be one of add, "),
    "a device that is a number": (
        lambda d: d["steps"][ADD].update(device=1),
        f"'steps[{ADD}].device' must be text",
    ),
    "a device that is there already": (
        lambda d: d["steps"].insert(ADD, d["steps"][ADD]),
        f"'steps[{ADD + 1}].device' '{WHOLE['steps'][ADD]['device']}' is there already",
    ),
    "a device that is not there": (
        lambda d: d["steps"].insert(0, {"op": "remove", "device": "x", "removed": True}),
        "'steps[0].device' 'x' is not there",
    ),
    "another size for what is not there": (
        lambda d: d["steps"].insert(0, {"op": "resize", "device": "x", "size": 1}),
        "'steps[0].device' 'x' is not there",
    ),
    "a size that is text": (
        lambda d: d["steps"].append({"op": "resize", "device": "x", "size": 1, "plugged": "1"}),
        ".plugged' must be a whole number",
    ),
    "more blocks than there can be": (
        lambda d: d["steps"].append(
            {"op": "remove", "device": "x", "removed": False, "online_blocks": [[0, 9_999_999]]}
        ),
        "names more blocks than any machine has",
    ),
    "a run of blocks that is text": (
        lambda d: d["steps"].append(
            {"op": "remove", "device": "x", "removed": False, "online": ["0-3"]}
        ),
        "a run of blocks,[0]' must be a whole number",
    ),
    "no observation of the boot": (lambda d: d.pop("boot"), "'boot' is missing"),
    "an observation without blocks": (
        lambda d: d["boot"].pop("blocks"),
        "'boot.blocks' is missing",
    ),
    "a zone that is a list": (
        lambda d: d["boot"]["zones"][0].update(zone=[]),
        "'boot.zones[0].zone' must be text",
    ),
    "an observation that is none": (
        lambda d: d["steps"][ADD].update(observe=None),
        f"'steps[{ADD}].observe' must be an object",
    ),
}


def replayed(document: Any) -> None:
    compare(document, predict(parse_recording(document, "file")))


@pytest.mark.parametrize(("change", "told"), WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_is_named(change: Change, told: str) -> None:
    replayed(WHOLE)
    document = copy.deepcopy(WHOLE)
    change(document)
    with pytest.raises(RecordingError) as caught:
        replayed(document)
    assert told in str(caught.value)


def test_a_recording_has_no_need_of_a_name_or_steps() -> None:
    document = {key: WHOLE[key] for key in ("format", "kernel", "machine", "boot")}
    replayed(document)
    stripped = strip_recording(document)
    assert (stripped["name"], stripped["steps"]) == ("recording", [])


def test_a_refusal_without_an_explanation_ends() -> None:
    """Of many blocks there are more sets than anybody can try."""
    device = {"device": "large", "start": 1 << 34, "size": 1 << 32, "node": 0}
    steps = [
        {"op": "write", "path": "auto_online_blocks", "value": "online_kernel"},
        {"op": "add", **device},
        {"op": "remove", "device": "large", "removed": False, "online_blocks": [[0, 9]]},
        {"op": "write", "path": "hard_offline_page", "value": "x", "errno": "EBUSY"},
    ]
    predicted = predict(parse_recording(WHOLE | {"steps": steps}, "file")).document["steps"]
    assert [step.get("removed", step.get("errno")) for step in predicted[2:]] == [True, "EINVAL"]


def test_a_refused_removal_may_name_its_blocks_in_any_form() -> None:
    step = {"op": "remove", "device": "x", "removed": False}
    runs = {"online_blocks": [0, 1, 2], "online": [[0, 2]], "blocks": [{"first": 0, "last": 2}]}
    for name, blocks in runs.items():
        recording = parse_recording(WHOLE | {"steps": [step | {name: blocks}]}, "file")
        [read] = recording.steps
        assert getattr(read, "refused_with") == frozenset({0, 1, 2})  # noqa: B009 - one of many


@pytest.mark.parametrize("text", ["[" * 100_000, "{", "[]", '{"format": 2}', "\ud800"[:0]])
def test_what_is_no_recording_at_all(text: str, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text(text)
    with pytest.raises(RecordingError, match=r"is no JSON|must be 1"):
        read_recording(path)
