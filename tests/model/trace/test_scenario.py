"""Scenarios: their form, and that those made by chance reach what they are made for."""

from collections import Counter
from typing import Any

import pytest

from memhp.core.errors import RecordingError
from memhp.core.geometry import GIB
from memhp.core.guest_shape import GuestShape
from memhp.model.trace.random_guest import THEMES
from memhp.model.trace.random_scenario import hotplug_base, random_scenario
from memhp.model.trace.scenario import Scenario, parse_scenario, scenario_json

Json = dict[str, Any]
CORNERS = [
    *("add", "remove", "write", "read", "resize", "sh"),
    *("state", "online", "online_kernel", "online_movable", "offline", "auto_online_blocks"),
    *("online_policy", "auto-movable", "contig-zones", "auto_movable_ratio"),
    *("auto_movable_numa_aware", "memmap_on_memory", "hard_offline_page", "soft_offline_page"),
    *("error", "kernelcore", "movablecore", "movable_node", "mem", "memhp_default_state"),
    *("memory_hotplug.memmap_on_memory", "memory_hotplug.online_policy"),
    *("flagged", "uneven", "boot DIMM"),
]
GUEST: Json = {"nodes": [GIB, 0], "command_line": "movable_node"}
ADD: Json = {"op": "add", "device": "d0", "start": 1 << 32, "size": GIB, "node": 1}


def document(**changes: Any) -> Json:
    return {"format": 1, "name": "one", "about": "a test", "guest": GUEST, "steps": [ADD]} | changes


def test_what_is_left_out_of_a_guest_is_the_plain_one() -> None:
    scenario = parse_scenario(document(), "f.json", "6.1")
    assert scenario == Scenario(
        name="one",
        about="a test",
        guest=GuestShape(kernel="6.1", nodes=(GIB, 0), command_line="movable_node"),
        steps=(ADD,),
    )


def test_results_of_a_recording_are_no_part_of_its_scenario() -> None:
    recorded = ADD | {"ost": 0, "observe": {"blocks": []}}
    assert parse_scenario(document(steps=[recorded]), "f.json", "6.1").steps == (ADD,)


def test_an_address_may_be_left_to_qemu() -> None:
    step = {key: value for key, value in ADD.items() if key != "start"}
    assert parse_scenario(document(steps=[step]), "f.json", "6.1").steps == (step,)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"guest": None}, "'guest' is missing"),
        ({"guest": {"nodes": "1G"}}, "'guest' is malformed"),
        ({"guest": GUEST | {"cpus": 4}}, "'guest' is malformed"),
        ({"guest": {"nodes": []}}, "'guest.nodes' must give node 0 memory"),
        ({"guest": {"nodes": [0, 1 << 30]}}, "'guest.nodes' must give node 0 memory"),
        ({"guest": {"nodes": [1 << 30, -1]}}, "'guest.nodes' must give node 0 memory"),
        ({"steps": [ADD | {"size": -1}]}, "'steps[0].size' must be a whole number"),
        ({"steps": [ADD | {"node": -1}]}, "'steps[0].node' must be a whole number"),
        ({"steps": {}}, "'steps' is no list"),
        ({"steps": [3]}, "'steps[0].op' must be one of add, remove"),
        ({"steps": [ADD, {"op": "explode"}]}, "'steps[1].op' must be one of add, remove"),
        ({"steps": [ADD | {"size": "1G"}]}, "'steps[0].size' must be a whole number"),
        ({"steps": [ADD | {"node": True}]}, "'steps[0].node' must be a whole number"),
        ({"steps": [{"op": "remove"}]}, "'steps[0].device' must be text"),
    ],
)
def test_what_is_no_scenario_is_told(changes: Json, told: str) -> None:
    with pytest.raises(RecordingError, match=r"f\.json") as caught:
        parse_scenario(document(**changes), "f.json", "6.12")
    assert told in str(caught.value)


@pytest.mark.parametrize("seed", range(40))
def test_chance_makes_the_same_scenario_of_the_same_seed(seed: int) -> None:
    scenario = random_scenario(seed, 12)
    assert scenario == random_scenario(seed, 12)
    assert len(scenario.steps) == 12
    assert parse_scenario(scenario_json(scenario), "f.json", "") == scenario


@pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
def test_a_theme_can_be_asked_for(theme: Any) -> None:
    for seed in range(5):
        assert random_scenario(seed, 6, theme).about.startswith(f"{theme.name}, by chance")


def corners(scenario: Scenario) -> set[str]:
    """What of a memory hotplug subsystem a scenario touches."""
    found = {word.partition("=")[0] for word in scenario.guest.command_line.split()}
    found |= {"flagged"} if scenario.guest.hotpluggable_nodes else set()
    found |= {"boot DIMM"} if scenario.guest.dimms else set()
    found |= {"uneven"} if len(set(scenario.guest.nodes) - {0}) > 1 else set()
    for step in scenario.steps:
        found.add(step["op"])
        if step["op"] == "write":
            found |= {step["path"].rpartition("/")[2], step["value"]}
    return found


def test_chance_reaches_every_corner() -> None:
    seen = Counter(corner for seed in range(400) for corner in corners(random_scenario(seed, 12)))
    assert {corner for corner in CORNERS if seen[corner] < 5} == set()


@pytest.mark.parametrize(
    ("boot", "base"),
    [(1, 4), (3, 4), (4, 5), (5, 6), (6, 7), (64, 65)],
)
def test_where_qemu_begins_to_place_memory_devices(boot: int, base: int) -> None:
    assert hotplug_base(boot * GIB) == base * GIB
