"""Replace, move and resize in real guests, from their host, with checksummed processes in them."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from memhp.core.events import Event, StepEnded
from memhp.core.geometry import MIB, BlockId, NodeId
from memhp.core.outcome import Partly, Refused
from memhp.core.plan import ResizeDevice
from memhp.core.report import report_of
from memhp.core.request import Add, Conditions, Move, Online, Remove, Replace, Resize
from memhp.core.targets import Blocks, DeviceTarget
from memhp.core.words import Ending, OnlineType
from memhp.machines.lab.kernels import KERNELS
from memhp.machines.lab.workload import Workload, start_workload
from qemu_guests import DIMM, Lab, ask, blocks_of, two_guests

pytestmark = pytest.mark.kernel
MOVABLE, KERNEL = OnlineType.ONLINE_MOVABLE, OnlineType.ONLINE_KERNEL


@pytest.fixture(scope="module", params=KERNELS)
def guests(request: pytest.FixtureRequest) -> Iterator[tuple[Lab, Lab]]:
    with two_guests(request.param) as pair:
        yield pair


@pytest.fixture(scope="module")
def giver(guests: tuple[Lab, Lab]) -> Lab:
    return guests[0]


@pytest.fixture(scope="module")
def taker(guests: tuple[Lab, Lab]) -> Lab:
    return guests[1]


@pytest.fixture(scope="module")
def workload(giver: Lab, tmp_path_factory: pytest.TempPathFactory) -> Workload:
    """Processes' memory fills most of what the DIMMs give, which is movable."""
    folder = tmp_path_factory.mktemp("journal")
    online = Online(targets=(DeviceTarget(name="b0"), DeviceTarget(name="b1")), online_type=MOVABLE)
    assert ask(folder, {"g": giver}, online) is Ending.DONE
    return start_workload(giver.guest, 300 * MIB, 7, 1)


def test_a_dimm_is_replaced_under_a_workload(
    giver: Lab, workload: Workload, tmp_path: Path
) -> None:
    blocks, total = blocks_of(giver.machine.snapshot()), giver.mem_total()
    devices, objects = giver.devices(), giver.objects()
    assert ask(tmp_path, {"g": giver}, Replace(address=0x108000000)) is Ending.DONE
    assert blocks_of(giver.machine.snapshot()) == blocks
    assert (giver.mem_total(), giver.devices(), giver.objects()) == (total, devices, objects)
    found = workload.check()
    assert (found.pages, found.bad) == (300 * 256, 0)


def test_memory_moves_between_guests_and_back(
    giver: Lab, taker: Lab, workload: Workload, tmp_path: Path
) -> None:
    labs = {"g": giver, "t": taker}
    before = [lab.mem_total() for lab in (giver, taker)]
    there = Move(size_bytes=DIMM, giver=giver.name, taker=taker.name, zone=MOVABLE)
    assert ask(tmp_path, labs, there) is Ending.DONE
    assert [lab.mem_total() - was for lab, was in zip((giver, taker), before, strict=True)] == [
        -DIMM,
        DIMM,
    ]
    assert (giver.devices(), taker.devices()) == ({"b0": DIMM, "vm0": 0}, {"vm0": DIMM})
    back = Move(size_bytes=DIMM, giver=taker.name, taker=giver.name, zone=MOVABLE)
    assert ask(tmp_path, labs, back) is Ending.DONE
    assert [lab.mem_total() for lab in (giver, taker)] == before
    assert sum(giver.devices().values()) == 2 * DIMM
    assert taker.devices() == {"vm0": 0}
    assert workload.check().bad == 0


def test_a_dimm_with_kernel_memory_is_refused_and_stays_as_it_was(
    giver: Lab, workload: Workload, tmp_path: Path
) -> None:
    labs, before_it = {"g": giver}, giver.devices()
    assert ask(tmp_path, labs, Add(size_bytes=DIMM, node=NodeId(1))) is Ending.DONE
    [device] = set(giver.devices()) - set(before_it)
    mine = blocks_of(giver.machine.snapshot())
    first, second = sorted(n for n, (_, _, owner) in mine.items() if owner == device)
    for number, word in ((first, KERNEL), (second, MOVABLE)):
        request = Online(targets=(Blocks(blocks=(BlockId(number),)),), online_type=word)
        assert ask(tmp_path, labs, request) is Ending.DONE
    pid = giver.hold_kernel_memory(1, 200)
    before = blocks_of(giver.machine.snapshot())
    events: list[Event] = []
    ending = ask(tmp_path, labs, Remove(device=device), listener=events.append)
    assert ending is Ending.PUT_BACK
    [refusal] = report_of(events).refusals
    assert refusal.outcome == Refused(
        reason="pages in it cannot be moved, or are held", errno_name="EBUSY"
    )
    assert blocks_of(giver.machine.snapshot()) == before
    assert workload.check().bad == 0
    # The guest can still use it: more of the same kind finds room there.
    giver.sh(f"kill {pid}; while [ -d /proc/{pid} ]; do :; done")
    giver.sh(f"kill {giver.hold_kernel_memory(1, 300)}")


def test_virtio_mem_grows_and_shrinks_in_parts_of_blocks(taker: Lab, tmp_path: Path) -> None:
    labs, before = {"t": taker}, taker.mem_total()
    grow = Resize(device="vm0", size_bytes=300 * MIB, zone=MOVABLE)
    assert ask(tmp_path, labs, grow) is Ending.DONE
    assert (taker.devices(), taker.mem_total()) == ({"vm0": 300 * MIB}, before + 300 * MIB)
    assert ask(tmp_path, labs, Resize(device="vm0", size_bytes=10 * MIB)) is Ending.DONE
    assert (taker.devices(), taker.mem_total()) == ({"vm0": 10 * MIB}, before + 10 * MIB)
    assert ask(tmp_path, labs, Resize(device="vm0", size_bytes=0)) is Ending.DONE
    assert (taker.devices(), taker.mem_total()) == ({"vm0": 0}, before)


def test_what_virtio_mem_cannot_free_stays_and_is_told(taker: Lab, tmp_path: Path) -> None:
    """The guest keeps what the kernel holds; what was not done is not asked for in the end."""
    labs = {"t": taker}
    grow = Resize(device="vm0", size_bytes=256 * MIB, zone=KERNEL)
    assert ask(tmp_path, labs, grow) is Ending.DONE
    pid = taker.hold_kernel_memory(1, 400)
    events: list[Event] = []
    shrink = Resize(device="vm0", size_bytes=0)
    ending = ask(tmp_path, labs, shrink, listener=events.append, until=time.monotonic() + 8)
    assert ending is Ending.PARTLY
    kept = taker.devices()["vm0"]
    assert 400 * 65536 <= kept < 256 * MIB
    asked = next(
        e.outcome
        for e in events
        if isinstance(e, StepEnded) and isinstance(e.step.action, ResizeDevice)
    )
    assert isinstance(asked, Partly)
    assert (asked.done_bytes, asked.wanted_bytes) == (256 * MIB - kept, 256 * MIB)
    [device] = taker.machine.snapshot().devices
    assert (device.plugged_bytes, device.requested_bytes) == (kept, kept)
    taker.sh(f"kill {pid}; while [ -d /proc/{pid} ]; do :; done")


def test_an_addition_that_the_guest_rejects_is_taken_back_whole(taker: Lab, tmp_path: Path) -> None:
    """Half a memory block: Linux reports success to the firmware, and has taken nothing."""
    devices, objects = taker.devices(), taker.objects()
    events: list[Event] = []
    ending = ask(
        tmp_path, {"t": taker}, Add(size_bytes=64 * MIB, node=NodeId(1)), listener=events.append
    )
    assert ending is Ending.REFUSED
    assert (taker.devices(), taker.objects()) == (devices, objects)


def test_a_part_is_enough_where_it_was_said_so(
    giver: Lab, taker: Lab, workload: Workload, tmp_path: Path
) -> None:
    """More than the giver has: what it has moves, for so much was said to be enough."""
    labs = {"g": giver, "t": taker}
    before = [sum(lab.devices().values()) for lab in labs.values()]
    move = Move(
        size_bytes=3 * DIMM, giver=giver.name, taker=taker.name, zone=MOVABLE, reserve_bytes=0
    )
    workload.stop()
    enough = Conditions(at_least_bytes=DIMM)
    assert ask(tmp_path, labs, move, conditions=enough) is Ending.DONE
    after = [sum(lab.devices().values()) for lab in labs.values()]
    assert sum(after) == sum(before)
    assert after[1] - before[1] >= DIMM
