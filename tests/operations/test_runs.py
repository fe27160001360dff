"""Steps that a machine takes at once: their intents are on disk before, each is told of in turn."""

from dataclasses import replace
from pathlib import Path

import pytest

from memhp.core.events import Event, RunStarted, StepEnded, StepStarted
from memhp.core.geometry import BlockId
from memhp.core.outcome import Done, Refused
from memhp.core.request import Offline, Remove
from memhp.core.targets import Blocks
from memhp.core.values_json import from_json, parse_json
from memhp.core.words import Ending
from memhp.machines.open import open_machine
from memhp.model.store import StateFile
from memhp.operations.conduct import Conductor
from memhp.operations.journal import Journals
from memhp.operations.journal_records import Ended, Intended, Planned, Record, story_of
from memhp.operations.operation import Operation
from run_taker import RunTaker

TEXT = """
command_line = "movable_node memhp_default_state=online"
[[node]]
memory = "1G"
[[dimm]]
size = "512M"
node = 0
[[failures.unmovable]]
blocks = 33
what = "a pinned page"
"""
NUMBERS = (32, 34, 35)


@pytest.fixture
def machine(tmp_path: Path) -> RunTaker:
    path = tmp_path / "m.machine"
    StateFile.create(path, TEXT).close()
    return RunTaker(open_machine(f"model:{path}"))


def offline(*numbers: int) -> Operation:
    blocks = tuple(BlockId(number) for number in numbers)
    return Operation(request=Offline(targets=(Blocks(blocks=blocks),)))


def told(machine: RunTaker, folder: Path, operation: Operation) -> tuple[Ending, list[Event]]:
    events: list[Event] = []
    worker = Conductor(machines={machine.name: machine}, folder=folder, listener=events.append)
    return worker.begin(operation), events


def records(folder: Path) -> list[Record]:
    """The first journal's records, read back one by one."""
    lines = (Journals(folder).folder / "1.journal").read_bytes().splitlines()
    return [from_json(Record, parse_json(line)) for line in lines]


def test_the_intents_of_a_run_come_before_it(machine: RunTaker, tmp_path: Path) -> None:
    ending, events = told(machine, tmp_path / "j", offline(*NUMBERS))
    assert ending is Ending.DONE
    shown = [
        (type(event).__name__, getattr(event, "index", None))
        for event in events
        if isinstance(event, RunStarted | StepStarted | StepEnded)
    ]
    assert shown == [
        ("RunStarted", None),
        *((name, n) for n in range(3) for name in ("StepStarted", "StepEnded")),
    ]
    kept = [r for r in records(tmp_path / "j") if isinstance(r, Intended | Ended)]
    assert kept == [
        *(Intended(index=n) for n in range(3)),
        *(Ended(index=n, outcome=Done()) for n in range(3)),
    ]


def test_nothing_is_begun_behind_a_refusal(machine: RunTaker, tmp_path: Path) -> None:
    _, events = told(machine, tmp_path / "j", offline(32, 33, 34))
    first = [event for event in events if isinstance(event, StepEnded)][:2]
    assert [type(event.outcome) for event in first] == [Done, Refused]
    run = next(event for event in events if isinstance(event, RunStarted))
    assert (run.first, run.count) == (0, 3)


def test_a_run_ends_where_a_device_comes_next(machine: RunTaker, tmp_path: Path) -> None:
    operation = Operation(request=Remove(device="dimm0"))
    ending, events = told(machine, tmp_path / "j", operation)
    assert ending is Ending.PUT_BACK
    runs = [(event.first, event.count) for event in events if isinstance(event, RunStarted)]
    assert runs[0] == (0, 4)


def cut(kept: list[Record], intents: int, ended: int) -> list[Record]:
    """The journal as a kill leaves it: so many intents, so many outcomes."""
    head = [r for r in kept if not isinstance(r, Intended | Ended)][:2]
    assert isinstance(head[1], Planned)
    return [
        *head,
        *(Intended(index=n) for n in range(intents)),
        *(Ended(index=n, outcome=Done()) for n in range(ended)),
    ]


def test_a_story_knows_how_far_a_run_was_asked_for(machine: RunTaker, tmp_path: Path) -> None:
    told(machine, tmp_path / "j", offline(*NUMBERS))
    kept = records(tmp_path / "j")
    intents = {
        (asked, ended): story_of(cut(kept, asked, ended)).intent
        for asked in range(4)
        for ended in range(asked + 1)
    }
    assert intents == {
        (asked, ended): None if ended == asked else asked - 1
        for asked in range(4)
        for ended in range(asked + 1)
    }


def test_a_story_in_no_order_is_damaged(machine: RunTaker, tmp_path: Path) -> None:
    told(machine, tmp_path / "j", offline(*NUMBERS))
    kept = records(tmp_path / "j")
    whole = cut(kept, 1, 0)
    for wrong in (
        Intended(index=2),
        Intended(index=3),
        Ended(index=1, outcome=Done()),
        replace(Intended(index=0), index=-1),
    ):
        with pytest.raises(ValueError, match="out of order"):
            story_of([*whole, wrong])
