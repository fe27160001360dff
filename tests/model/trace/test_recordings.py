"""The model agrees with recordings of real kernels, whose inputs alone it sees."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from memhp.model.trace.compare import compare
from memhp.model.trace.predict import predict
from memhp.model.trace.recording import parse_recording, read_recording, strip_recording

FOLDER = Path(__file__).parent / "recordings"
FILES = sorted(FOLDER.rglob("*.json"))
ids = [str(path.relative_to(FOLDER).with_suffix("")) for path in FILES]
Json = dict[str, Any]


def predicted(document: Json) -> Json:
    return predict(parse_recording(document, "a recording")).document


def test_there_are_recordings_of_both_kernels() -> None:
    assert {path.relative_to(FOLDER).parts[0] for path in FILES} == {"6.1", "6.12"}


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_replay_differs_in_nothing(path: Path) -> None:
    document = read_recording(path)
    differences = compare(document, predict(parse_recording(document, path.name)))
    assert [str(difference) for difference in differences] == []


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_what_is_compared_cannot_leak_into_a_prediction(path: Path) -> None:
    document = read_recording(path)
    assert predicted(strip_recording(document)) == predicted(document)


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_a_stripped_recording_holds_no_answer(path: Path) -> None:
    stripped = strip_recording(read_recording(path))
    assert "boot" not in stripped
    assert "observe" not in json.dumps(stripped["steps"])
    for step in stripped["steps"]:
        softly = step.get("path") == "soft_offline_page"
        assert step.get("errno", "EBUSY") in ({"EBUSY", "EIO"} if softly else {"EBUSY"})
        assert step.get("removed", False) is False
        assert not {"ok", "text", "plugged", "rc"} & step.keys()


@pytest.mark.parametrize("path", FILES[::7], ids=ids[::7])
def test_nothing_looks_a_name_up(path: Path) -> None:
    document = read_recording(path)
    renamed = copy.deepcopy(document) | {"name": "another", "about": "something else"}
    assert predicted(renamed) | {"name": ""} == predicted(document) | {"name": ""}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda d: d["boot"]["blocks"][0].update(state="offline"), "boot, blocks"),
        (lambda d: d["boot"]["zones"][0].update(present=1), "boot, zone DMA of node 0, present"),
        (lambda d: d["machine"].update(block_size=1), "boot, machine.block_size"),
        (lambda d: d["steps"][0].update(ost=1), "step 0, ost"),
        (lambda d: d["steps"][1].update(errno="EIO"), "step 1, errno"),
        (lambda d: d["steps"][0]["observe"]["nodes"].update(online="7"), "step 0, nodes, online"),
        (lambda d: d["steps"][0]["observe"]["iomem_ram"].pop(), "step 0, iomem_ram"),
        (
            lambda d: d["steps"][1]["observe"].update(auto_online_blocks="x"),
            "step 1, auto_online_blocks",
        ),
    ],
)
def test_a_difference_is_seen(change: Any, told: str) -> None:
    document = read_recording(FOLDER / "6.12" / "zone-choice-by-hand.json")
    wrong = copy.deepcopy(document)
    change(wrong)
    differences = compare(wrong, predict(parse_recording(document, "a recording")))
    assert [str(difference).partition(": ")[0] for difference in differences] == [told]


def test_uevents_in_another_order_are_a_difference() -> None:
    [path] = (FOLDER / "6.12").glob("chance-dimms-[0-9]*.json")
    document = read_recording(path)
    index = next(i for i, step in enumerate(document["steps"]) if len(step["uevents"]) > 1)
    document["steps"][index]["uevents"].reverse()
    [difference] = compare(document, predict(parse_recording(document, path.name)))
    assert str(difference).startswith(f"step {index}, uevents: ")


def test_managed_pages_of_hot_added_memory_are_compared() -> None:
    document = read_recording(FOLDER / "6.12" / "memmap-on-memory.json")
    wrong = copy.deepcopy(document)
    zones = wrong["steps"][0]["observe"]["zones"]
    next(zone for zone in zones if zone["node"] == 1)["managed"] += 1
    differences = compare(wrong, predict(parse_recording(document, "a recording")))
    assert len(differences) == 1
    assert "managed" in str(differences[0])
