"""Recordings made here have the form of those that judge the model, and the model agrees."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lab_guests import lab_folder_of_its_own, need_guests
from memhp.core.geometry import GIB, MIB, NodeId
from memhp.core.guest_shape import BootDimm, GuestShape, VirtioMemShape
from memhp.machines.lab.guest import Guest, guests
from memhp.machines.lab.judge import judge
from memhp.machines.lab.kernels import KERNELS
from memhp.model.trace.scenario import Scenario, parse_scenario, scenario_json

pytestmark = pytest.mark.kernel
RECORDINGS = Path(__file__).parents[1] / "model/trace/recordings"
INJECT = "/sys/kernel/debug/notifier-error-inject/memory/actions/MEM_GOING_OFFLINE/error"
Json = dict[str, Any]


def write(path: str, value: str) -> Json:
    return {"op": "write", "path": path, "value": value}


DEVICES = Scenario(
    name="devices",
    about="DIMMs, a veto, a refused removal, virtio-mem beside them",
    guest=GuestShape(
        kernel="",
        nodes=(GIB, 0),
        command_line="memhp_default_state=offline",
        dimms=(BootDimm(size_bytes=256 * MIB, node=NodeId(1)),),
        virtio_mem=(VirtioMemShape(size_bytes=GIB, node=NodeId(1)),),
    ),
    steps=(
        {"op": "add", "device": "d0", "start": 8 * GIB, "size": 256 * MIB, "node": 1},
        write("memory64/state", "online_movable"),
        write("memory64/state", "online"),
        write(INJECT, "-12"),
        write("memory64/state", "offline"),
        {"op": "remove", "device": "d0"},
        write(INJECT, "0"),
        {"op": "read", "path": "memory64/valid_zones"},
        {"op": "remove", "device": "d0"},
        {"op": "resize", "device": "vm0", "size": 300 * MIB},
        {"op": "resize", "device": "vm0", "size": 10 * MIB},
        {"op": "remove", "device": "never-there"},
        {"op": "sh", "command": "cat /sys/devices/system/memory/block_size_bytes"},
    ),
)
FLAGGED = Scenario(
    name="flagged",
    about="a node whose boot memory the SRAT flags",
    guest=GuestShape(
        kernel="",
        nodes=(3 * GIB, 2 * GIB),
        command_line="movable_node",
        hotpluggable_nodes=(NodeId(1),),
    ),
    steps=(write("memory40/state", "offline"), write("memory40/state", "online_kernel")),
)


@pytest.fixture(autouse=True)
def folder() -> Iterator[None]:
    with lab_folder_of_its_own():
        yield


def keys_of(document: Json) -> dict[str, set[str]]:
    """Which fields a recording has, and each kind of step in it."""
    found = {"": set(document) - {"guest", "dmesg"}, "machine": set(document["machine"])}
    found["boot"] = set(document["boot"])
    for step in document["steps"]:
        found.setdefault(step["op"], set()).update(set(step) - {"uevents"})
    return found


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("scenario", [DEVICES, FLAGGED], ids=lambda scenario: scenario.name)
def test_what_is_recorded_is_what_the_model_predicts(scenario: Scenario, kernel: str) -> None:
    need_guests(kernel)
    judged = judge(scenario.on(kernel), Guest("recorded", bound=True))
    assert [str(difference) for difference in judged.differences] == []
    again = parse_scenario(judged.recording, "recording", kernel)
    assert again.guest == judged.scenario.guest
    assert any(step.get("uevents") for step in judged.recording["steps"])
    # The guest cannot be asked to remove what it never had.
    asked = [step for step in scenario.steps if step.get("device") != "never-there"]
    assert list(again.steps) == asked


@pytest.mark.parametrize("kernel", KERNELS[:1])
def test_a_recording_has_the_form_of_those_that_judge_the_model(kernel: str) -> None:
    need_guests(kernel)
    made = keys_of(judge(DEVICES.on(kernel), Guest("form", bound=True)).recording)
    names = ("zone-choice-by-hand", "virtio-mem", "notifier-errors", "movable-node-boot")
    known: dict[str, set[str]] = {}
    for name in names:
        document = json.loads((RECORDINGS / kernel / f"{name}.json").read_text())
        for part, keys in keys_of(document).items():
            known.setdefault(part, set()).update(keys)
    assert {part: keys for part, keys in made.items() if part in known} == {
        part: keys for part, keys in known.items() if part in made
    }


def test_a_guest_ends_with_whoever_recorded_in_it(tmp_path: Path) -> None:
    need_guests(KERNELS[0])
    scenario = tmp_path / "long.json"
    steps = [{"op": "sh", "command": "sleep 60"}]
    scenario.write_text(json.dumps(scenario_json(replace(FLAGGED, steps=tuple(steps)))))
    memhp = [sys.executable, "-m", "memhp", "trace", "record", str(scenario)]
    with subprocess.Popen(memhp, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as running:
        assert running.stderr is not None
        while b"step 1" not in running.stderr.readline():
            assert running.poll() is None
        [guest] = guests()
        pid = guest.pid
        assert pid is not None
        running.kill()
        os.waitid(os.P_PID, running.pid, os.WEXITED | os.WNOWAIT)
    while guest.pid is not None:
        assert Path(f"/proc/{pid}").exists()
