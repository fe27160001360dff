"""What every machine promises, whatever it is: one suite for all drivers."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path

import pytest

from lab_guests import guest_of, need_guests
from memhp.core.errors import MemhpError, NotSupported
from memhp.core.events import StepProgress
from memhp.core.geometry import GIB, MIB, BlockId, NodeId
from memhp.core.guest_shape import BootDimm, GuestShape
from memhp.core.listing import BlockFile
from memhp.core.machine import Machine
from memhp.core.outcome import Done, Outcome, Refused
from memhp.core.plan import (
    ExpectBlock,
    ExpectDevice,
    OfflineBlock,
    OnlineBlock,
    ResizeDevice,
    Step,
)
from memhp.core.snapshot import Device, HostBudget, MemoryBlock, Room, Snapshot, Want
from memhp.core.words import Ability, BlockState, DeviceKind, OnlineType, ZoneType
from memhp.machines.lab.guest import Guest
from memhp.machines.lab.kernels import KERNELS
from memhp.machines.linux.live_write import NO_LIVE_WRITES
from memhp.machines.open import open_machine
from memhp.model.shipped import shipped_text
from memhp.model.store import StateFile
from mounts import Mount, mount
from saved_trees import unpack

__all__ = ["mount"]
TREES = Path(__file__).parents[1] / "machines/linux/trees"
DIMM_BLOCKS = (32, 33)
DIMM = '[[node]]\nmemory = "2G"\n[[dimm]]\nsize = "1G"\n'


def shipped(folder: Path) -> Machine:
    return open_machine("model:server")


def kept(folder: Path) -> Machine:
    StateFile.create(folder / "m.machine", DIMM).close()
    return open_machine(f"model:{folder}/m.machine")


def kept_guest(folder: Path) -> Machine:
    StateFile.create(folder / "h.machine", shipped_text("host")).close()
    return open_machine(f"model:{folder}/h.machine/web")


def saved(folder: Path) -> Machine:
    return open_machine(f"linux:{unpack(TREES / 'guest-6.12.tar.gz', folder)}")


MACHINES: dict[str, Callable[[Path], Machine]] = {
    "shipped model": shipped,
    "model that lasts": kept,
    "guest of a model": kept_guest,
    "saved tree": saved,
}


MOUNTED = {"mounted model": "server", "mounted model that lasts": "m.machine"}
GUESTS = ("lab guest", "QEMU guest")
INSIDE = "this-machine"
"""Asked for in a guest that was booted for it: it runs these tests on itself, as root."""
MARK = "memhp.contract=1"


def is_guest_made_for_it() -> bool:
    return MARK in Path("/proc/cmdline").read_text().split()


@pytest.fixture(scope="module")
def guest() -> Iterator[Guest]:
    """One guest for all drivers that see it from outside, and for the one inside."""
    need_guests(KERNELS[0])
    shape = GuestShape(
        kernel=KERNELS[0],
        nodes=(GIB, 0),
        command_line=f"memhp_default_state=offline nokaslr {MARK}",
        dimms=(BootDimm(size_bytes=256 * MIB, node=NodeId(0)),),
        agent=True,
        shares_root=True,
    )
    with guest_of(shape) as booted:
        with booted.shell() as shell:
            for number in DIMM_BLOCKS:
                shell.run(f"echo online_movable > /sys/devices/system/memory/memory{number}/state")
        yield booted


@pytest.fixture(
    params=[
        *MACHINES,
        *MOUNTED,
        *(pytest.param(name, marks=pytest.mark.kernel) for name in GUESTS),
        *((INSIDE,) if is_guest_made_for_it() else ()),
    ]
)
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Machine:
    if request.param == INSIDE:
        request.getfixturevalue("monkeypatch").delenv(NO_LIVE_WRITES, raising=False)
        return open_machine("linux:")
    if request.param in MOUNTED:
        mounts: Mount = request.getfixturevalue("mount")
        StateFile.create(tmp_path / "m.machine", DIMM).close()
        source = MOUNTED[request.param]
        name = source if source == "server" else f"{tmp_path}/{source}"
        return open_machine(f"linux:{mounts(name).folder}")
    if request.param in GUESTS:
        real: Guest = request.getfixturevalue("guest")
        kind = "lab" if request.param == "lab guest" else "qemu"
        return open_machine(f"{kind}:{real.name}")
    return MACHINES[request.param](tmp_path)


def nobody(_progress: StepProgress) -> None:
    """Listens to nothing."""


def a_block_to_take(snapshot: Snapshot) -> MemoryBlock | None:
    """A block that can go offline: movable, or the highest of the kernel's."""
    usable = [block for block in snapshot.blocks if block.can_be_tried]
    movable = [block for block in usable if block.zone is ZoneType.MOVABLE]
    return next(iter(movable or sorted(usable, key=lambda b: -b.block)), None)


def step_for(machine: Machine, block: MemoryBlock, action: OfflineBlock | OnlineBlock) -> Step:
    expect = ExpectBlock(block=block.block, state=block.state, zone=block.zone)
    return Step(machine=machine.name, action=action, expect=expect)


def test_a_part_of_a_snapshot_is_that_part_of_the_whole(machine: Machine) -> None:
    whole = machine.snapshot()
    assert whole.machine == machine.name
    for want, names in (
        (Want.ZONES, {"zones"}),
        (Want.NODES, {"nodes"}),
        (Want.DEVICES, {"devices"}),
        (Want.POLICY, {"policy", "command_line"}),
        (Want.ROOM, {"room"}),
        (Want.HOST, {"host"}),
    ):
        part = machine.snapshot(want)
        for field in fields(Snapshot):
            here, there = (_steady(getattr(taken, field.name)) for taken in (part, whole))
            if field.name in names | {"machine", "identity", "block_size_bytes"}:
                assert here == there, (want, field.name)
            elif field.name in {"blocks", "zones", "nodes", "devices", "iomem"}:
                assert here == (), (want, field.name)
            elif field.name in {"room", "host"}:
                assert here in {None, Room()}, (want, field.name)


def _steady(value: object) -> object:
    """Without what changes on a machine that runs, however little it does."""
    if isinstance(value, HostBudget):
        # The host runs more than this guest.
        return replace(value, promised_bytes=0)
    return replace(value, available_bytes=None) if isinstance(value, Room) else value


def test_blocks_are_in_order_and_each_stands_once(machine: Machine) -> None:
    numbers = [block.block for block in machine.snapshot(Want.BLOCKS).blocks]
    assert numbers == sorted(set(numbers))
    assert numbers


def test_a_listing_agrees_with_the_snapshot(machine: Machine) -> None:
    listing = machine.list_blocks(BlockFile.STATE)  # type: ignore[attr-defined]
    snapshot = machine.snapshot(Want.BLOCKS)
    listed = [
        (number, run.state)
        for run in listing.runs
        for number in range(run.first, run.first + run.nr_blocks)
    ]
    assert listed == [(block.block, block.state) for block in snapshot.blocks]
    assert listing.block_size_bytes == snapshot.block_size_bytes


def test_identity_stays_while_it_runs(machine: Machine) -> None:
    assert machine.identity == machine.identity == machine.snapshot(Want.POLICY).identity


def test_what_is_not_as_expected_is_refused_and_left(machine: Machine) -> None:
    before = machine.snapshot(Want.BLOCKS)
    block = before.blocks[-1]
    other = BlockState.OFFLINE if block.state is BlockState.ONLINE else BlockState.ONLINE
    expect = ExpectBlock(block=block.block, state=other, zone=None)
    step = Step(machine=machine.name, action=OfflineBlock(block=block.block), expect=expect)
    outcome = machine.apply(step, until=None, tell=nobody)
    assert isinstance(outcome, Refused)
    assert outcome.errno_name is None
    assert machine.snapshot(Want.BLOCKS) == before


def test_a_block_that_is_not_there_is_refused(machine: Machine) -> None:
    missing = BlockId(30_000)
    expect = ExpectBlock(block=missing, state=BlockState.ONLINE, zone=ZoneType.MOVABLE)
    step = Step(machine=machine.name, action=OfflineBlock(block=missing), expect=expect)
    assert isinstance(machine.apply(step, until=None, tell=nobody), Refused)


def test_offline_and_back_in_its_zone(machine: Machine) -> None:
    before = machine.snapshot(Want.BLOCKS)
    block = a_block_to_take(before)
    assert block is not None
    away = step_for(machine, block, OfflineBlock(block=block.block))
    if Ability.OFFLINE not in machine.can:
        with pytest.raises(NotSupported):
            machine.apply(away, until=None, tell=nobody)
        return
    outcome = machine.apply(away, until=None, tell=nobody)
    if isinstance(outcome, Refused):
        # A kernel zone's block may hold anything; what is refused is as before.
        assert outcome.errno_name is not None
        assert machine.snapshot(Want.BLOCKS) == before
        return
    assert outcome == Done()
    now = next(b for b in machine.snapshot(Want.BLOCKS).blocks if b.block == block.block)
    assert (now.state, now.zone) == (BlockState.OFFLINE, None)
    movable = block.zone is ZoneType.MOVABLE
    word = OnlineType.ONLINE_MOVABLE if movable else OnlineType.ONLINE_KERNEL
    back = step_for(machine, now, OnlineBlock(block=block.block, online_type=word))
    if not machine.lasts:
        return
    assert isinstance(machine.apply(back, until=None, tell=nobody), Done)
    assert machine.snapshot(Want.BLOCKS).blocks == before.blocks


def a_device_to_resize(machine: Machine) -> Device | None:
    devices = machine.snapshot(Want.DEVICES).devices
    return next((d for d in devices if d.kind is DeviceKind.VIRTIO_MEM and d.plugged_bytes), None)


def resized(machine: Machine, device: Device, size_bytes: int) -> Outcome:
    step = Step(
        machine=machine.name,
        action=ResizeDevice(device=device.name, requested_bytes=size_bytes),
        expect=ExpectDevice(
            device=device.name, present=True, requested_bytes=device.requested_bytes
        ),
    )
    return machine.apply(step, until=None, tell=nobody)


def test_a_device_shrinks_by_its_unit_and_grows_again(machine: Machine) -> None:
    device = a_device_to_resize(machine)
    if Ability.RESIZE_DEVICE not in machine.can or device is None:
        gone = Device(name="v", kind=DeviceKind.VIRTIO_MEM, size_bytes=0, node=None, present=True)
        try:
            outcome = resized(machine, gone, 0)
        except NotSupported:
            return
        assert isinstance(outcome, Refused)
        return
    assert device.unit_bytes is not None
    assert device.plugged_bytes is not None
    less = device.plugged_bytes - device.unit_bytes
    assert isinstance(resized(machine, device, less), Done)
    smaller = a_device_to_resize(machine)
    assert smaller is not None
    assert (smaller.requested_bytes, smaller.plugged_bytes) == (less, less)
    assert isinstance(resized(machine, device, device.plugged_bytes), Refused)
    assert isinstance(resized(machine, smaller, device.plugged_bytes), Done)
    assert a_device_to_resize(machine) == device


def test_a_size_that_the_device_cannot_have_is_refused(machine: Machine) -> None:
    device = a_device_to_resize(machine)
    if Ability.RESIZE_DEVICE not in machine.can or device is None:
        return
    for wrong in (device.size_bytes + (device.unit_bytes or 1), (device.unit_bytes or 2) // 2):
        assert isinstance(resized(machine, device, wrong), Refused)
    assert a_device_to_resize(machine) == device


def test_a_guest_promises_what_its_host_has(machine: Machine) -> None:
    host = machine.snapshot(Want.HOST).host
    if host is None:
        return
    assert host.promised_bytes > 0
    assert host.free_bytes == host.total_bytes - host.promised_bytes


def test_errors_are_memhps_own_and_one_line(machine: Machine) -> None:
    try:
        machine.census([BlockId(30_000)])
    except MemhpError as error:
        assert "\n" not in str(error)  # noqa: PT017 - a machine may or may not count pages
    else:
        pytest.fail("there is no such block")


@pytest.mark.kernel
def test_a_machine_keeps_all_that_from_inside(guest: Guest) -> None:
    """The tests above on ``linux:``, in a guest on its own memory."""
    # What takes long to import there is done without.
    words = "-q -p no:cacheprovider -o addopts= --import-mode=importlib --noconftest"
    folder = Path(__file__).parents[2]
    environment = (
        f"/usr/bin/env -u {NO_LIVE_WRITES} --chdir={folder} PYTEST_DISABLE_PLUGIN_AUTOLOAD=1"
    )
    with guest.shell() as shell:
        code, text = shell.run(
            f"host {environment} {sys.executable} -m pytest {words} {__file__} -k {INSIDE}", 300
        )
    ran = len([name for name in globals() if name.startswith("test_")]) - 1
    assert (code, f"{ran} passed" in text) == (0, True), text
