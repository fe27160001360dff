"""Through a real kernel: add a DIMM, bring blocks online and offline, and the model agrees."""

from pathlib import Path

import pytest

from lab_guests import guest
from memhp.core.events import Event, OperationEnded, PlanEnded, PlanStarted, StepEnded, StepStarted
from memhp.core.geometry import GIB, BlockId, NodeId
from memhp.core.outcome import Done, Refused
from memhp.core.plan import ExpectBlock, OfflineBlock, Step
from memhp.core.report import report_of
from memhp.core.request import Add, Offline, Online, Remove, Replace, Request
from memhp.core.snapshot import Snapshot, Want
from memhp.core.targets import Blocks
from memhp.core.words import BlockState, Ending, ExitCode, OnlineType
from memhp.machines.lab.guest import Guest
from memhp.machines.lab.machine import LabMachine
from memhp.machines.model import ModelMachine
from memhp.machines.open_model import BootedKernel
from memhp.operations.conduct import Conductor
from memhp.operations.operation import Operation

__all__ = ["guest"]
pytestmark = pytest.mark.kernel
WANT = Want.BLOCKS | Want.ZONES | Want.NODES | Want.POLICY


class Twins:
    """A real guest and the model of it, to which the same is done."""

    def __init__(self, real: LabMachine, folder: Path) -> None:
        self.real = real
        self.model = ModelMachine("model:twin", BootedKernel(real.boot_inputs().boot(), "twin"))
        self._folder = folder

    def ask(self, request: Request) -> tuple[Ending, list[Event]]:
        """Carry a request out on both; returns how it ended on the real one, and its events."""
        events: list[Event] = []
        real = Conductor(
            machines={self.real.name: self.real}, folder=self._folder, listener=events.append
        )
        ending = real.begin(Operation(request=request))
        model = Conductor(
            machines={self.model.name: self.model}, folder=None, listener=lambda _event: None
        )
        assert model.begin(Operation(request=request)) is ending
        self.agree()
        return ending, events

    def agree(self) -> None:
        """What both machines' snapshots say is the same."""
        real, model = (compared(machine.snapshot(WANT)) for machine in (self.real, self.model))
        assert real == model


def compared(snapshot: Snapshot) -> object:
    """All but names, and what the kernel took for itself of boot memory (managed pages)."""
    blocks = [(b.block, b.state, b.zone, b.nodes, b.valid_zones) for b in snapshot.blocks]
    zones = [
        (z.node, z.zone, z.start_pfn if z.present else 0, z.spanned, z.present)
        for z in snapshot.zones
    ]
    return snapshot.block_size_bytes, blocks, zones, snapshot.nodes, snapshot.policy


@pytest.fixture(scope="module")
def twins(guest: Guest, tmp_path_factory: pytest.TempPathFactory) -> Twins:
    return Twins(LabMachine(guest), tmp_path_factory.mktemp("journal"))


def block(number: int) -> tuple[Blocks]:
    return (Blocks(blocks=(BlockId(number),)),)


def test_a_dimm_comes_and_a_block_goes_both_ways(twins: Twins) -> None:
    """One story, for a guest boots once: the steps build on each other."""
    twins.agree()
    ending, events = twins.ask(Add(size_bytes=GIB, node=NodeId(1)))
    assert ending is Ending.DONE
    assert [type(event) for event in events] == [
        PlanStarted,
        StepStarted,
        StepEnded,
        PlanEnded,
        OperationEnded,
    ]
    assert twins.ask(Online(targets=block(34), online_type=OnlineType.ONLINE_MOVABLE))[0] is (
        Ending.DONE
    )
    assert twins.ask(Offline(targets=block(34)))[0] is Ending.DONE
    kernel = Online(targets=block(34), online_type=OnlineType.ONLINE_KERNEL)
    ending, events = twins.ask(kernel)
    assert report_of(events).exit_code is ExitCode.DONE
    ended = next(event for event in events if isinstance(event, StepEnded))
    assert ended.outcome == Done(note="in Normal")


def test_what_the_kernel_refuses(twins: Twins) -> None:
    ending, events = twins.ask(Offline(targets=block(0)))
    assert ending is Ending.REFUSED
    ended = next(event for event in events if isinstance(event, StepEnded))
    assert ended.outcome == Refused(reason="multizone range", errno_name="EINVAL")


def test_a_changed_target_is_refused_and_nothing_is_written(twins: Twins) -> None:
    before = compared(twins.real.snapshot(WANT))
    expect = ExpectBlock(block=BlockId(1), state=BlockState.OFFLINE, zone=None)
    step = Step(machine=twins.real.name, action=OfflineBlock(block=BlockId(1)), expect=expect)
    outcome = twins.real.apply(step, until=None, tell=lambda _event: None)
    assert isinstance(outcome, Refused)
    assert "expected memory1: offline" in outcome.reason
    assert compared(twins.real.snapshot(WANT)) == before


def test_undo_on_a_real_kernel(twins: Twins, tmp_path: Path) -> None:
    before = compared(twins.real.snapshot(WANT))
    conductor = Conductor(
        machines={twins.real.name: twins.real}, folder=tmp_path, listener=lambda _event: None
    )
    online = Online(targets=block(35), online_type=OnlineType.ONLINE_MOVABLE)
    assert conductor.begin(Operation(request=online)) is Ending.DONE
    assert compared(twins.real.snapshot(WANT)) != before
    assert conductor.undo("1") is Ending.DONE
    assert compared(twins.real.snapshot(WANT)) == before


def test_a_dimm_is_replaced_on_a_real_kernel(twins: Twins, tmp_path: Path) -> None:
    """Evacuated, ejected, added again, and every block back in the zone that it had."""
    before = twins.real.snapshot(WANT | Want.DEVICES)
    conductor = Conductor(
        machines={twins.real.name: twins.real}, folder=tmp_path, listener=lambda _event: None
    )
    assert conductor.begin(Operation(request=Replace(device="dimm0"))) is Ending.DONE
    assert compared(twins.real.snapshot(WANT)) == compared(before)
    assert conductor.begin(Operation(request=Remove(device="dimm0"))) is Ending.DONE
    gone = twins.real.snapshot(WANT | Want.DEVICES)
    assert "dimm0" not in [device.name for device in gone.devices]
    assert [node.node for node in gone.nodes] == [0]
    assert conductor.undo("2") is Ending.DONE
    assert compared(twins.real.snapshot(WANT)) == compared(before)
