"""Documents of JSON: recordings, scenarios, plans, journals, shapes of guests, notes."""

import json
from argparse import Namespace
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from fuzz.mutation import dump
from fuzz.seeds import JSON, JSON_LINES, any_json, any_text, recordings, steps_of
from fuzz.target import Attempt, Target
from memhp.core.errors import MemhpError
from memhp.core.events import Event
from memhp.core.geometry import BlockId, NodeId
from memhp.core.guest_shape import BootDimm, GuestShape, VirtioMemShape
from memhp.core.plan import Plan, plan_of
from memhp.core.request import Add, Apply, Conditions, Offline, Remove, Replace, Resize
from memhp.core.targets import parse_target
from memhp.core.values_json import from_json, parse_json, to_json
from memhp.core.words import OnlineType
from memhp.interfaces.cli.cmd_apply import _machines_of
from memhp.interfaces.cli.main import main
from memhp.machines.lab.guest import Guest
from memhp.machines.model import ModelMachine
from memhp.machines.open_model import BootedKernel
from memhp.model.description import parse_description, start
from memhp.model.store_holder import tell_holder
from memhp.model.trace.compare import compare
from memhp.model.trace.predict import predict
from memhp.model.trace.recording import parse_recording, read_recording, strip_recording
from memhp.model.trace.scenario import parse_scenario, scenario_json
from memhp.operations.conduct import Conductor
from memhp.operations.journal import Journals
from memhp.operations.journal_records import Record
from memhp.operations.next_leg import next_leg
from memhp.operations.operation import Operation

_MACHINE = """
command_line = "memhp_default_state=online_movable"
[[node]]
memory = "1G"
[[dimm]]
size = "512M"
[[dimm]]
size = "256M"
waiting = true
[[failures.unmovable]]
blocks = "34"
what = "a pinned page"
[[virtio_mem]]
size = "1G"
requested = "256M"
[[dimm]]
name = "deaf"
size = "128M"
[[failures.silent]]
device = "deaf"
"""
_NAME = "model:fuzzed"


def _machine() -> ModelMachine:
    kernel = start(parse_description(_MACHINE, "fuzzed.toml"))
    return ModelMachine(_NAME, BootedKernel(kernel, f"{_NAME}:1"))


def _unheard(_event: Event) -> None:
    """Nobody listens."""


def _recording(folder: Path) -> Attempt:
    """As ``memhp trace replay`` does, and ``strip`` first."""
    path = folder / "recording.json"

    def attempt(data: bytes) -> None:
        path.write_bytes(data)
        document = read_recording(path)
        recording = parse_recording(document, "recording.json")
        [str(difference) for difference in compare(document, predict(recording))]

    return attempt


def _stripped(folder: Path) -> Attempt:
    path = folder / "recording.json"

    def attempt(data: bytes) -> None:
        path.write_bytes(data)
        document = read_recording(path)
        stripped = strip_recording(document)
        assert strip_recording(stripped) == stripped

    return attempt


def _scenario(folder: Path) -> Attempt:
    path = folder / "scenario.json"

    def attempt(data: bytes) -> None:
        path.write_bytes(data)
        scenario = parse_scenario(read_recording(path), "scenario.json", "6.12")
        assert parse_scenario(scenario_json(scenario), "again", "6.12") == scenario

    return attempt


def _scenarios() -> list[bytes]:
    guest = {"nodes": [1 << 30, 0], "command_line": "movable_node", "hotpluggable_nodes": [1]}
    devices = {
        "dimms": [{"size_bytes": 1 << 28, "node": 1}],
        "virtio_mem": [{"size_bytes": 1 << 29, "node": 0, "block_bytes": 1 << 21}],
    }
    common = {"format": 1, "about": "x", "guest": guest | devices}
    return [
        dump(common | {"name": document["name"], "steps": list(steps_of(document))})
        for document in map(json.loads, recordings())
    ]


def _value(kind: Any) -> Callable[[Path], Attempt]:
    def prepare(_folder: Path) -> Attempt:
        def attempt(data: bytes) -> None:
            value = from_json(kind, parse_json(data))
            assert from_json(kind, json.loads(json.dumps(to_json(value)))) == value
            str(value)

        return attempt

    return prepare


@cache
def _plans() -> tuple[bytes, ...]:
    """Plans of every kind of request, made for the machine that they are carried out on."""
    snapshot = _machine().snapshot()
    requests = (
        Offline(targets=(parse_target("memory4-6"),)),
        Offline(targets=(parse_target("dimm0"), parse_target("256M"))),
        Remove(device="dimm0"),
        Replace(device="dimm0"),
        Replace(block=BlockId(33), add_first=True),
        Resize(device="virtio-mem0", by_bytes=-(1 << 27)),
        Add(size_bytes=1 << 27, node=NodeId(0), zone=OnlineType.ONLINE_KERNEL),
    )
    legs = (next_leg(Operation(request=request), {_NAME: snapshot}) for request in requests)
    plans = [leg.plan for leg in legs if leg is not None]
    plans.append(plan_of(Apply(asked="x"), snapshot, plans[0].steps))
    return tuple(dump(to_json(plan)) for plan in plans)


def _plan(folder: Path) -> Attempt:
    """As ``memhp apply`` does."""
    place = folder / "fuzzed.toml"
    place.write_text(_MACHINE)
    path = folder / "plan.json"

    def attempt(data: bytes) -> None:
        path.write_bytes(data.replace(b'"model:fuzzed"', b'"model:fuzzed.toml"'))
        if code := main(["apply", "plan.json", "-M", "model:fuzzed.toml"]):
            raise SystemExit(int(code))

    return attempt


def _applied(_folder: Path) -> Attempt:
    def attempt(data: bytes) -> None:
        plan: Plan = from_json(Plan, parse_json(data))
        names = _machines_of(plan, Namespace(plan="-", machine=_NAME))
        machines = {name: _machine() for name in names}
        conductor = Conductor(machines=machines, folder=None, listener=_unheard)
        conductor.apply(plan, Conditions(all_or_nothing=len(data) % 2 == 0))

    return attempt


@cache
def _journals() -> tuple[bytes, ...]:
    """What operations leave: whole, and cut where a kill may have cut them."""
    import tempfile

    found: list[bytes] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        machines = {_NAME: _machine()}
        conductor = Conductor(machines=machines, folder=folder, listener=_unheard)
        for text in ("memory4-6", "dimm0"):
            conductor.begin(Operation(request=Offline(targets=(parse_target(text),))))
        conductor.undo("1")
        conductor.begin(Operation(request=Remove(device="dimm0")))
        conductor.begin(
            Operation(
                request=Offline(targets=(parse_target("256M"),)),
                conditions=Conditions(all_or_nothing=True, at_least_bytes=1 << 27),
            )
        )
        conductor.begin(Operation(request=Resize(device="virtio-mem0", size_bytes=1 << 29)))
        conductor.begin(Operation(request=Remove(device="deaf")))
        for path in sorted(folder.glob("*.journal")):
            data = path.read_bytes()
            found += [data, data[: len(data) * 2 // 3], data[: data.rindex(b"\n", 0, -1) + 1]]
    return tuple(found)


def _journal(folder: Path) -> Attempt:
    """As ``memhp log`` does."""
    journals = folder / "journals"
    journals.mkdir()

    def attempt(data: bytes) -> None:
        (journals / "1.journal").write_bytes(data)
        for words in (["log"], ["log", "--json"], ["log", "1"], ["log", "1", "--json"]):
            main(words)
        Journals(journals).read("1")

    return attempt


def _resumed(folder: Path) -> Attempt:
    """Go on with what a journal tells, and then undo it."""

    def attempt(data: bytes) -> None:
        for path in folder.glob("*.journal"):
            path.unlink()
        (folder / "1.journal").write_bytes(data)
        refused: MemhpError | None = None
        machines = {_NAME: _machine()}
        conductor = Conductor(machines=machines, folder=folder, listener=_unheard)
        for do in (conductor.resume, conductor.undo):
            try:
                do("1")
            except MemhpError as error:
                refused = error
        if refused is not None:
            raise refused

    return attempt


def _shape(folder: Path) -> Attempt:
    """The description that a guest of the lab has beside it."""
    place = folder / "lab" / "g"
    place.mkdir(parents=True)

    def attempt(data: bytes) -> None:
        (place / "shape.json").write_bytes(data)
        (place / "pid").write_bytes(data)
        guest = Guest("g")
        assert guest.pid is None
        str(guest.shape)

    return attempt


def _shapes() -> list[bytes]:
    shape = GuestShape(
        kernel="6.12",
        nodes=(1 << 30, 0),
        hotpluggable_nodes=(NodeId(1),),
        dimms=(BootDimm(size_bytes=1 << 28, node=NodeId(1)),),
        virtio_mem=(VirtioMemShape(size_bytes=1 << 29, node=NodeId(0)),),
    )
    return [dump(to_json(shape))]


def _note(folder: Path) -> Attempt:
    def attempt(data: bytes) -> None:
        (folder / "m-holder").write_bytes(data)
        tell_holder(folder / "m")

    return attempt


TARGETS = (
    Target(
        name="recordings, replayed",
        prepare=_recording,
        seeds=recordings,
        shape=JSON,
        inputs=400,
        invent=any_json,
        # What explains a refusal is looked for among many sets of blocks.
        seconds=30,
    ),
    Target(
        name="recordings, stripped",
        prepare=_stripped,
        seeds=recordings,
        shape=JSON,
        inputs=800,
        invent=any_json,
    ),
    Target(
        name="scenarios",
        prepare=_scenario,
        seeds=_scenarios,
        shape=JSON,
        inputs=900,
        invent=any_json,
    ),
    Target(
        name="values: plans",
        prepare=_value(Plan),
        seeds=_plans,
        shape=JSON,
        inputs=1200,
        invent=any_json,
        allowed=(MemhpError, ValueError),
    ),
    Target(
        name="values: records",
        prepare=_value(Record),
        seeds=lambda: [line for data in _journals() for line in data.split(b"\n")][:60],
        shape=JSON,
        inputs=1200,
        invent=any_json,
        allowed=(MemhpError, ValueError),
    ),
    Target(
        name="plans, from the command line",
        prepare=_plan,
        seeds=_plans,
        shape=JSON,
        inputs=500,
        invent=any_json,
        allowed=(SystemExit,),
    ),
    Target(
        name="plans, carried out",
        prepare=_applied,
        seeds=_plans,
        shape=JSON,
        inputs=1200,
        allowed=(MemhpError, ValueError),
    ),
    Target(
        name="journals, shown",
        prepare=_journal,
        seeds=_journals,
        shape=JSON_LINES,
        inputs=120,
        invent=any_json | any_text,
    ),
    Target(
        name="journals, resumed and undone",
        prepare=_resumed,
        seeds=_journals,
        shape=JSON_LINES,
        inputs=250,
    ),
    Target(
        name="shapes of guests",
        prepare=_shape,
        seeds=_shapes,
        shape=JSON,
        inputs=800,
        invent=any_json,
    ),
    Target(
        name="notes of who holds a file",
        prepare=_note,
        seeds=lambda: [b'{"pid": 1, "started": "5", "asked": "offline 3", "since": "12:00:00Z"}'],
        shape=JSON,
        inputs=1000,
        invent=any_json,
    ),
)
