"""A refusal that says the machine has to be left alone: nothing more is tried on it."""

from pathlib import Path

import pytest

from memhp.core.events import Event, OperationEnded
from memhp.core.geometry import BlockId
from memhp.core.outcome import Refused
from memhp.core.request import Conditions, Offline, Request
from memhp.core.snapshot import Want
from memhp.core.targets import Amount, Blocks, Target
from memhp.core.words import BlockState, Ending
from memhp.machines.open import open_machine
from memhp.model.store import StateFile
from memhp.operations.conduct import Conductor
from memhp.operations.operation import Operation
from stubborn import Stubborn

TEXT = """
command_line = "movable_node memhp_default_state=online"
[[node]]
memory = "1G"
[[dimm]]
size = "512M"
node = 0
"""
DIMM = tuple(BlockId(number) for number in (32, 33, 34, 35))
HURTS = Refused(reason="memory pressure has stayed at 90 %", errno_name="EBUSY", ends_run=True)
BUSY = Refused(reason="unmovable page", errno_name="EBUSY")


def ended(
    folder: Path, answer: Refused, target: Target, conditions: Conditions
) -> tuple[Ending, Stubborn, list[Event]]:
    """Take blocks of the DIMM offline, the second of which answers so."""
    path = folder / "m.machine"
    StateFile.create(path, TEXT).close()
    machine = Stubborn(open_machine(f"model:{path}"), DIMM[2], answer)
    events: list[Event] = []
    worker = Conductor(
        machines={machine.name: machine}, folder=folder / "state", listener=events.append
    )
    request: Request = Offline(targets=(target,))
    return worker.begin(Operation(request=request, conditions=conditions)), machine, events


def offline_blocks(machine: Stubborn) -> list[int]:
    blocks = machine.snapshot(Want.BLOCKS).blocks
    return [b.block for b in blocks if b.block in DIMM and b.state is BlockState.OFFLINE]


@pytest.mark.parametrize(
    ("answer", "offline", "asked"),
    [
        pytest.param(HURTS, [35], 2, id="ends"),
        # Tried once more when others have moved, for it may have been busy for a moment.
        pytest.param(BUSY, [32, 33, 35], 5, id="goes-on"),
    ],
)
def test_what_was_done_stays_and_nothing_more_is_tried(
    answer: Refused, offline: list[int], asked: int, tmp_path: Path
) -> None:
    ending, machine, _ = ended(tmp_path, answer, Blocks(blocks=DIMM), Conditions())
    assert (ending, offline_blocks(machine)) == (Ending.PARTLY, offline)
    assert len(machine.asked) == asked, machine.asked


def test_an_amount_takes_no_other_block_in_its_place(tmp_path: Path) -> None:
    ending, machine, _ = ended(tmp_path, HURTS, Amount(size_bytes=512 << 20), Conditions())
    assert ending is Ending.PARTLY
    assert machine.asked[-1].endswith("memory34")


def test_all_or_nothing_puts_back_what_was_done(tmp_path: Path) -> None:
    conditions = Conditions(all_or_nothing=True)
    ending, machine, events = ended(tmp_path, HURTS, Blocks(blocks=DIMM), conditions)
    assert (ending, offline_blocks(machine)) == (Ending.PUT_BACK, [])
    assert machine.asked == ["offline memory35", "offline memory34", "online_movable memory35"]
    assert events[-1] == OperationEnded(ending=Ending.PUT_BACK)
