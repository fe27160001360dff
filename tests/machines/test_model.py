"""A modelled machine behind the door: what it shows, what each step comes to, what is kept."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest

from memhp.core.census import BlockCensus, PageKind
from memhp.core.errors import NoSuchObject
from memhp.core.events import StepProgress
from memhp.core.geometry import GIB, BlockId, NodeId
from memhp.core.machine import Machine
from memhp.core.outcome import Done, Outcome, Refused
from memhp.core.plan import (
    Action,
    AddDevice,
    Expectation,
    ExpectBlock,
    ExpectDevice,
    OfflineBlock,
    OnlineBlock,
    RemoveDevice,
    Step,
)
from memhp.core.snapshot import Want
from memhp.core.words import Ability, BlockState, DeviceKind, OnlineType, ZoneType
from memhp.machines.model import ModelMachine
from memhp.machines.open_model import BootedKernel, open_model
from memhp.model.description import parse_description, start
from memhp.model.kernel import Kernel
from memhp.model.steps import KernelRefusal
from memhp.model.store import StateFile
from memhp.model.take_snapshot import take_snapshot

MEMORY = "/sys/devices/system/memory"
TEXT = """
command_line = "movable_node"
dimm_slots = 3
[[node]]
memory = "1G"
[[node]]
hotpluggable = true
[[dimm]]
size = "1G"
node = 1
[[dimm]]
size = "1G"
node = 1
waiting = true
[[virtio_mem]]
size = "1G"
[[failures.unmovable]]
blocks = 33
what = "pinned"
[[failures.poisoned]]
address = "0x110000000"
pages = 2
"""
ONLINE = BlockState.ONLINE
MOVABLE = ZoneType.MOVABLE
OFF = OfflineBlock(block=BlockId(32))
"""Blocks of 128 MiB: dimm0 is at 4 GiB, so it has those from 32 to 39."""


@pytest.fixture(params=["booted", "kept"])
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Machine:
    """The same machine in memory alone, and in a state file."""
    if request.param == "booted":
        return booted()
    StateFile.create(tmp_path / "m", TEXT).close()
    return open_model(str(tmp_path / "m"))


def booted() -> ModelMachine:
    kernel = start(parse_description(TEXT, "m.toml"))
    return ModelMachine("model:m", BootedKernel(kernel, "1"))


def apply(
    machine: Machine,
    action: Action,
    expect: Expectation | None = None,
    tell: Callable[[StepProgress], None] = lambda _: None,
) -> Outcome:
    step = Step(machine=machine.name, action=action, expect=expect)
    return machine.apply(step, until=None, tell=tell)


def expect(number: int, state: BlockState, zone: ZoneType | None) -> ExpectBlock:
    return ExpectBlock(block=BlockId(number), state=state, zone=zone)


def state_of(machine: Machine, number: int) -> tuple[BlockState, ZoneType | None]:
    blocks = {block.block: block for block in machine.snapshot(Want.BLOCKS).blocks}
    block = blocks[BlockId(number)]
    return block.state, block.zone


def test_a_snapshot_is_the_kernels(machine: Machine) -> None:
    kernel = start(parse_description(TEXT, "m.toml"))
    expected = take_snapshot(kernel, machine=machine.name, identity=machine.identity, want=Want.ALL)
    assert machine.snapshot() == expected
    assert [(d.name, d.kind, d.present) for d in expected.devices] == [
        ("dimm0", DeviceKind.DIMM, True),
        ("dimm1", DeviceKind.DIMM, False),
        ("virtio-mem0", DeviceKind.VIRTIO_MEM, True),
    ]


@pytest.mark.parametrize("want", [Want(0), *Want], ids=str)
def test_a_snapshot_has_the_parts_that_were_asked_for(want: Want) -> None:
    whole, part = booted().snapshot(), booted().snapshot(want)
    parts = {Want.BLOCKS: "blocks", Want.ZONES: "zones", Want.NODES: "nodes"}
    parts |= {Want.DEVICES: "devices", Want.IOMEM: "iomem"}
    for flag, name in parts.items():
        expected = getattr(whole, name) if flag in want else ()
        assert getattr(part, name) == expected, name
    assert (part.want, part.identity) == (want, whole.identity)


def test_looking_changes_nothing(machine: Machine) -> None:
    before = machine.snapshot()
    machine.census([BlockId(0), BlockId(32)])
    assert machine.snapshot() == before


def test_a_block_goes_out_and_comes_back(machine: Machine) -> None:
    told: list[StepProgress] = []
    as_is = expect(32, ONLINE, MOVABLE)
    assert apply(machine, OFF, as_is, told.append) == Done()
    assert state_of(machine, 32) == (BlockState.OFFLINE, None)
    assert [(p.step.action, p.done, p.total) for p in told] == [(OFF, 1, None), (OFF, 2, None)]
    back = OnlineBlock(block=BlockId(32), online_type=OnlineType.ONLINE_KERNEL)
    offline = expect(32, BlockState.OFFLINE, None)
    assert apply(machine, back, offline) == Done(note="in Normal")
    assert state_of(machine, 32) == (ONLINE, ZoneType.NORMAL)


CHANGED = {
    "a state": (OFF, expect(32, BlockState.OFFLINE, None), "memory32: online, Movable"),
    "a zone": (OFF, expect(32, ONLINE, ZoneType.NORMAL), "memory32: online, Movable"),
    "a block": (
        OfflineBlock(block=BlockId(99)),
        expect(99, ONLINE, MOVABLE),
        "no memory99",
    ),
    "a device that went": (
        RemoveDevice(device="dimm1"),
        ExpectDevice(device="dimm1", present=True),
        "dimm1: absent",
    ),
    "a device that came": (
        AddDevice(device="dimm0"),
        ExpectDevice(device="dimm0", present=False),
        "dimm0: present",
    ),
    "no such device": (
        RemoveDevice(device="dimm9"),
        ExpectDevice(device="dimm9", present=True),
        "no dimm9",
    ),
    "remove what is not in": (RemoveDevice(device="dimm1"), None, "dimm1: absent"),
    "remove what is nowhere": (RemoveDevice(device="dimm9"), None, "no dimm9"),
    "add what is in": (AddDevice(device="dimm0"), None, "dimm0: present"),
    "add what is nowhere": (AddDevice(device="dimm9"), None, "no dimm9"),
    "add what is a virtio-mem": (AddDevice(device="virtio-mem0"), None, "virtio-mem0: present"),
    "a new one of a taken name": (AddDevice(device="dimm1", size_bytes=GIB), None, "one"),
}


@pytest.mark.parametrize(("action", "expected", "found"), CHANGED.values(), ids=CHANGED.keys())
def test_a_target_that_has_changed_is_not_touched(
    machine: Machine, action: Action, expected: Expectation | None, found: str
) -> None:
    before = machine.snapshot()
    outcome = apply(machine, action, expected)
    assert isinstance(outcome, Refused)
    assert (outcome.errno_name, outcome.reason.endswith(f", found {found}")) == (None, True)
    assert machine.snapshot() == before


def test_a_virtio_mem_device_is_not_pulled(machine: Machine) -> None:
    present = ExpectDevice(device="virtio-mem0", present=True)
    assert apply(machine, RemoveDevice(device="virtio-mem0"), present) == Refused(
        reason="virtio-mem0 is no DIMM, and cannot be taken out"
    )


REFUSED = {
    "kernel memory in it": (33, "EBUSY"),
    "several zones": (0, "EINVAL"),
    "no such block": (99, "ENOENT"),
}


@pytest.mark.parametrize(("number", "errno_name"), REFUSED.values(), ids=REFUSED.keys())
def test_the_kernels_no_is_an_outcome(machine: Machine, number: int, errno_name: str) -> None:
    before = machine.snapshot(Want.BLOCKS)
    outcome = apply(machine, OfflineBlock(block=BlockId(number)))
    assert isinstance(outcome, Refused)
    assert outcome.errno_name == errno_name
    assert machine.snapshot(Want.BLOCKS) == before


def test_poison_does_not_keep_a_block_online(machine: Machine) -> None:
    assert apply(machine, OfflineBlock(block=BlockId(34))) == Done()


def test_a_waiting_dimm_comes_and_goes(machine: Machine) -> None:
    blocks = len(machine.snapshot(Want.BLOCKS).blocks)
    absent, present = (ExpectDevice(device="dimm1", present=here) for here in (False, True))
    added = apply(machine, AddDevice(device="dimm1"), absent)
    assert isinstance(added, Done)
    assert len(machine.snapshot(Want.BLOCKS).blocks) == blocks + 8
    assert apply(machine, RemoveDevice(device="dimm1"), present) == Done(note="removed")
    assert len(machine.snapshot(Want.BLOCKS).blocks) == blocks
    assert {d.name: d.present for d in machine.snapshot().devices}["dimm1"] is False


def test_a_dimm_that_cannot_be_emptied_stays(machine: Machine) -> None:
    """Its other blocks went offline and come back, except for the one with poison in it."""
    before = machine.snapshot()
    outcome = apply(machine, RemoveDevice(device="dimm0"))
    assert isinstance(outcome, Refused)
    assert outcome.errno_name == "EBUSY"
    after = machine.snapshot()
    assert [d.present for d in after.devices] == [d.present for d in before.devices]
    pairs = zip(before.blocks, after.blocks, strict=True)
    assert [new.block for old, new in pairs if new != old] == [34]
    assert state_of(machine, 34) == (BlockState.OFFLINE, None)


NEW = {
    "odd size": (AddDevice(device="n", size_bytes=12345, node=NodeId(0)), "EINVAL"),
    "no such node": (AddDevice(device="n", size_bytes=GIB, node=NodeId(9)), "EINVAL"),
}


@pytest.mark.parametrize(("action", "errno_name"), NEW.values(), ids=NEW.keys())
def test_a_new_dimm_that_the_kernel_rejects_is_pulled_out_again(
    machine: Machine, action: AddDevice, errno_name: str
) -> None:
    before = machine.snapshot()
    outcome = apply(machine, action)
    assert isinstance(outcome, Refused)
    assert outcome.errno_name == errno_name
    assert machine.snapshot() == before


def test_a_new_dimm_needs_a_slot(machine: Machine) -> None:
    new = AddDevice(device="dimm2", size_bytes=GIB)
    assert isinstance(apply(machine, new), Done)
    device = machine.snapshot().devices[2]
    assert (device.name, device.node, device.present) == ("dimm2", 0, True)
    before = machine.snapshot()
    assert apply(machine, AddDevice(device="dimm3", size_bytes=GIB)) == Refused(
        reason="the machine has 3 DIMM slots, and none is free"
    )
    assert machine.snapshot() == before


def test_the_census_counts_what_the_model_knows(machine: Machine) -> None:
    apply(machine, OFF)
    asked = [BlockId(number) for number in (0, 32, 33, 34, 35)]
    census = machine.census(asked)
    assert list(census) == asked
    per_block = machine.snapshot(Want.BLOCKS).block_size_bytes // 4096
    assert {block.nr_pages for block in census.values()} == {per_block}
    assert census[BlockId(32)] == BlockCensus(block=BlockId(32), pages={PageKind.FREE: per_block})
    assert census[BlockId(33)].pages[PageKind.KERNEL] == 1
    assert census[BlockId(34)].pages[PageKind.POISONED] == 2
    assert set(census[BlockId(35)].pages) == {PageKind.UNKNOWN}
    assert PageKind.HOLE in census[BlockId(0)].pages


def test_a_census_of_a_block_that_is_not_there(machine: Machine) -> None:
    with pytest.raises(NoSuchObject, match="has no memory99: see 'memhp ls'"):
        machine.census([BlockId(99)])


def test_it_can_what_it_says(machine: Machine) -> None:
    assert machine.can == {
        Ability.ONLINE,
        Ability.OFFLINE,
        Ability.ADD_DEVICE,
        Ability.REMOVE_DEVICE,
        Ability.RESIZE_DEVICE,
        Ability.CENSUS,
        Ability.HUGEPAGES,
    }


class StoppedInAChange:
    """A source whose kernel is in the middle of a change that somebody steps."""

    lasts = False
    identity = "1"
    workload = None

    def __init__(self) -> None:
        self._kernel = start(parse_description(TEXT, "m.toml"))
        self._kernel.hotplug_lock = True

    def load(self) -> Kernel:
        return self._kernel

    def change(self, what: str) -> AbstractContextManager[Kernel]:
        return nullcontext(self._kernel)

    def host(self) -> None:
        return None

    def came_of_it(self, outcome: str) -> None:
        raise AssertionError


def test_what_would_wait_for_ever_is_refused() -> None:
    machine = ModelMachine("model:m", StoppedInAChange())
    assert apply(machine, OFF) == Refused(reason="another change of this machine is under way")
    assert state_of(machine, 32) == (ONLINE, MOVABLE)


def test_the_log_keeps_what_came_of_each_step(tmp_path: Path) -> None:
    StateFile.create(tmp_path / "m", TEXT).close()
    machine = open_model(str(tmp_path / "m"))
    apply(machine, OFF)
    apply(machine, OfflineBlock(block=BlockId(33)))
    apply(machine, AddDevice(device="n", size_bytes=12345))
    apply(machine, OFF, expect(32, ONLINE, MOVABLE))
    machine.write_file(f"{MEMORY}/auto_online_blocks", "offline")
    with pytest.raises(KernelRefusal):
        machine.write_file(f"{MEMORY}/auto_online_blocks", "\udcff\n")
    with StateFile.open(tmp_path / "m") as state:
        rows = [(row.asked, row.outcome.partition(":")[0]) for row in state.log()]
    # The step whose target had changed asked the kernel for nothing.
    assert rows == [
        ("boot", "done"),
        ("offline memory32", "done"),
        ("offline memory33", "refused"),
        ("add n of 12345B", "refused"),
        (f"write 'offline' to {MEMORY}/auto_online_blocks", "done"),
        (f"write '\\udcff\\n' to {MEMORY}/auto_online_blocks", "refused"),
    ]


def test_its_files_are_read_and_written(machine: ModelMachine) -> None:
    assert machine.tree().read(f"{MEMORY}/memory32/state") == "online\n"
    machine.write_file(f"{MEMORY}/memory32/state", "offline")
    assert state_of(machine, 32) == (BlockState.OFFLINE, None)
    with pytest.raises(KernelRefusal, match="ENOENT"):
        machine.write_file("/sys/nothing", "1")


def test_another_boot_is_another_identity(tmp_path: Path) -> None:
    StateFile.create(tmp_path / "m", TEXT).close()
    machine = open_model(str(tmp_path / "m"))
    before = machine.identity
    apply(machine, OFF)
    assert machine.identity == before
    with StateFile.open(tmp_path / "m") as state:
        state.restart()
    assert machine.identity != before
    assert state_of(machine, 32) == (ONLINE, MOVABLE)


def test_pinned_pages_end_a_step_as_a_deadline_would() -> None:
    text = TEXT + '[[failures.pinned]]\nblocks = 34\nwhat = "an O_DIRECT buffer"\n'
    kernel = start(parse_description(text, "m.toml"))
    machine = ModelMachine("model:m", BootedKernel(kernel, "m"))
    before = machine.snapshot()
    step = Step(machine=machine.name, action=OfflineBlock(block=BlockId(34)))
    outcome = machine.apply(step, until=None, tell=lambda _progress: None)
    assert isinstance(outcome, Refused)
    assert outcome.errno_name == "EINTR"
    assert outcome.words == (
        "signal backoff [EINTR]: it was interrupted, and the block is online as before "
        "(pages are pinned, and the kernel would try for ever: an O_DIRECT buffer)"
    )
    assert machine.snapshot() == before
    assert machine.census([BlockId(34)])[BlockId(34)].pages[PageKind.KERNEL] == 1


def test_a_new_dimm_goes_where_it_is_wanted(machine: Machine) -> None:
    """As one that replaces another does; where something is already, it does not."""
    taken = next(d.ranges[0].start for d in machine.snapshot().devices if d.ranges)
    for wrong in (taken, taken + GIB // 4, 0, 1 << 40):
        new = AddDevice(device="n", size_bytes=GIB // 4, address=wrong)
        refused = apply(machine, new)
        assert isinstance(refused, Refused)
        assert "is taken, or not for memory that comes later" in refused.reason
    free = 0x1D0000000
    added = apply(machine, AddDevice(device="n", size_bytes=GIB // 4, address=free))
    assert added == Done(note=f"at {free:#x}-{free + GIB // 4 - 1:#x}")
