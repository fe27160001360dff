"""A block that the kernel holds on its way offline: left alone, and its answer taken later."""

from pathlib import Path

import pytest

from memhp.core.errors import AnswerPending
from memhp.core.events import Event, StepEnded
from memhp.core.geometry import BlockId
from memhp.core.outcome import Done, Outcome, Refused, Unanswered
from memhp.core.request import Offline
from memhp.core.snapshot import Want
from memhp.core.targets import Blocks
from memhp.core.words import BlockState, Ending
from memhp.machines.open import open_machine
from memhp.model.store import StateFile
from memhp.operations.conduct import Conductor
from memhp.operations.journal import Journals
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
HELD = BlockId(34)
ASKED = Offline(targets=(Blocks(blocks=(BlockId(33), HELD, BlockId(35))),))
STILL = "still held by the kernel"


class HeldUp:
    """A machine that holds a block, and those who work on it one after the other."""

    def __init__(self, folder: Path) -> None:
        path = folder / "m.machine"
        StateFile.create(path, TEXT).close()
        self.folder = folder / "state"
        self.model = open_machine(f"model:{path}")
        self.machine = Stubborn(
            self.model, HELD, Unanswered(asked="", why=STILL), BlockState.GOING_OFFLINE
        )
        self.events: list[Event] = []

    def worker(self) -> Conductor:
        machines = {self.machine.name: self.machine}
        return Conductor(machines=machines, folder=self.folder, listener=self.events.append)

    def kill(self) -> None:
        """Have memhp killed while it waits for the kernel: the intent is noted alone."""
        self.worker().begin(Operation(request=ASKED))
        journal = self.folder / "1.journal"
        lines = journal.read_bytes().splitlines(keepends=True)
        assert lines[-1].startswith(b'{"type":"Ended"')
        journal.write_bytes(b"".join(lines[:-1]))
        self.events.clear()

    def let_go(self, state: BlockState) -> None:
        """The kernel ends what it was at."""
        self.machine.state = state

    def outcomes(self) -> list[Outcome]:
        return [event.outcome for event in self.events if isinstance(event, StepEnded)]

    def states(self) -> list[BlockState]:
        blocks = self.machine.snapshot(Want.BLOCKS).blocks
        return [block.state for block in blocks if block.block in (33, HELD, 35)]


@pytest.fixture
def held(tmp_path: Path) -> HeldUp:
    found = HeldUp(tmp_path)
    found.kill()
    return found


def test_going_on_does_not_ask_for_it_again(held: HeldUp) -> None:
    asked = len(held.machine.asked)
    assert held.worker().resume("1") is Ending.UNKNOWN
    assert held.outcomes() == [Unanswered(asked=f"offline memory{HELD}", why=STILL)]
    assert len(held.machine.asked) == asked
    assert Journals(held.folder).read("1").finished is None


def test_nobody_touches_it_meanwhile(held: HeldUp) -> None:
    held.worker().resume("1")
    with pytest.raises(AnswerPending, match=f"offline memory{HELD}"):
        held.worker().begin(Operation(request=Offline(targets=(Blocks(blocks=(HELD,)),))))


def test_a_late_yes_is_taken_and_it_goes_on(held: HeldUp) -> None:
    held.worker().resume("1")
    held.let_go(BlockState.OFFLINE)
    held.events.clear()
    assert held.worker().resume("1") is Ending.DONE
    assert held.outcomes() == [Done(note="answered late"), Done()]
    assert held.states() == [BlockState.OFFLINE] * 3


def test_a_late_no_is_taken_and_the_others_go(held: HeldUp) -> None:
    held.worker().resume("1")
    held.let_go(BlockState.ONLINE)
    held.events.clear()
    assert held.worker().resume("1") is Ending.PARTLY
    no = Refused(reason="it was not done, as was found out later")
    assert held.outcomes() == [no, Done()]
    assert held.states() == [BlockState.OFFLINE, BlockState.ONLINE, BlockState.OFFLINE]


def test_what_it_gave_up_at_once_is_asked_for_again(held: HeldUp) -> None:
    held.let_go(BlockState.ONLINE)
    held.machine = replace_answer(held, Refused(reason="signal backoff", errno_name="EINTR"))
    assert held.worker().resume("1") is Ending.PARTLY
    assert held.machine.asked[0] == f"offline memory{HELD}"


def replace_answer(held: HeldUp, outcome: Outcome) -> Stubborn:
    """The same machine, whose kernel gives another answer."""
    return Stubborn(held.model, HELD, outcome)
