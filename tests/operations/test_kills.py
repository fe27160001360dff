"""A kill at every point where the disk or the machine is written: resume and undo end as promised.

A child process does the operation and kills itself at its Nth write: a line of
the journal (before it is written, and after), or a statement of SQLite that
changes the machine. Then ``resume``, or ``undo``, is run to its end.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from kills import Killer, Note, in_a_child, in_ram, tell
from memhp.core.geometry import BlockId, NodeId
from memhp.core.request import (
    Add,
    Conditions,
    Evacuate,
    Offline,
    Online,
    Remove,
    Replace,
    Request,
    Resize,
)
from memhp.core.snapshot import Snapshot, Want
from memhp.core.targets import Blocks, DeviceTarget
from memhp.core.words import Ending, OnlineType, Preparation
from memhp.machines.open import open_machine
from memhp.model.store import StateFile
from memhp.operations.conduct import Conductor
from memhp.operations.journal import Journals
from memhp.operations.operation import Operation
from memhp.operations.plan_logical import plan_offline
from pool_machines import HUGE_PAGES_GO_ROUND
from run_taker import RunTaker

__all__ = ["in_ram"]
TEXT = """
command_line = "movable_node memhp_default_state=online"
[[node]]
memory = "2G"
[[node]]
memory = "1G"
hotpluggable = true
[[dimm]]
size = "384M"
node = 1
[[dimm]]
size = "256M"
node = 1
waiting = true
[[virtio_mem]]
size = "512M"
requested = "256M"
[[failures.unmovable]]
blocks = 18
what = "a pinned page"
"""
ALL = Conditions(all_or_nothing=True)
MOVABLE = tuple(BlockId(number) for number in (16, 17, 19))
OPERATIONS: dict[str, tuple[Request, Conditions]] = {
    "offline": (Offline(targets=(Blocks(blocks=MOVABLE),)), Conditions()),
    "offline in the zone of the kernel": (
        Offline(targets=(Blocks(blocks=(BlockId(3), BlockId(5))),)),
        Conditions(),
    ),
    "online": (
        Online(
            targets=(Blocks(blocks=(BlockId(20), BlockId(21))),),
            online_type=OnlineType.ONLINE_MOVABLE,
        ),
        Conditions(),
    ),
    "evacuate, and put back": (
        Evacuate(targets=(Blocks(blocks=(*MOVABLE, BlockId(18))),)),
        ALL,
    ),
    "offline, partly": (Offline(targets=(Blocks(blocks=(*MOVABLE, BlockId(18))),)), Conditions()),
    "evacuate a device": (Evacuate(targets=(DeviceTarget(name="dimm0"),)), ALL),
    "add": (Add(device="dimm1"), Conditions()),
    "remove": (Remove(device="dimm0"), Conditions()),
    "replace": (Replace(device="dimm0"), Conditions()),
    "replace, the new one first": (Replace(device="dimm0", add_first=True), Conditions()),
    "add into a zone": (
        Add(size_bytes=256 << 20, node=NodeId(1), zone=OnlineType.ONLINE_MOVABLE),
        Conditions(),
    ),
    "grow": (
        Resize(device="virtio-mem0", by_bytes=130 << 20, zone=OnlineType.ONLINE_MOVABLE),
        Conditions(),
    ),
    "shrink": (Resize(device="virtio-mem0", by_bytes=-(130 << 20)), Conditions()),
}


TWO_NODES = """
command_line = "movable_node memhp_default_state=online"
[[node]]
memory = "1G"
[[node]]
memory = "256M"
hotpluggable = true
[workload]
[[workload.step]]
process = "db"
grow = "hugetlb-2M"
size = "6M"
node = 1
"""
HUGEPAGES = (Preparation.HUGEPAGES,)
PREPARED: dict[str, tuple[str, Request, Conditions]] = {
    "pools of the only node are out of the way, and put back": (
        HUGE_PAGES_GO_ROUND,
        Offline(targets=(Blocks(blocks=(BlockId(1),)),)),
        Conditions(prepare=HUGEPAGES),
    ),
    "pools of other nodes grow, and all is put back": (
        TWO_NODES,
        Offline(targets=(Blocks(blocks=(BlockId(8), BlockId(0))),)),
        Conditions(prepare=HUGEPAGES, all_or_nothing=True),
    ),
}


def standing(snapshot: Snapshot) -> Any:
    """What an operation promises: states, zones, devices, pools of huge pages."""
    blocks = [(b.block, b.state.value, b.zone and b.zone.value) for b in snapshot.blocks]
    devices = [
        (d.name, d.requested_bytes, d.plugged_bytes, [str(r) for r in d.ranges])
        for d in snapshot.devices
        if d.present
    ]
    pools = [(pool.name, pool.held) for pool in snapshot.surroundings.huge_pools]
    return blocks, devices, pools


def look(machine: Path) -> Any:
    return standing(open_machine(f"model:{machine}").snapshot(Want.ALL | Want.HUGE_POOLS))


def conductor(machine: Path, folder: Path, *, runs: bool = False) -> Conductor:
    """``runs`` for a machine that takes several blocks before it tells of the first."""
    opened = open_machine(f"model:{machine}")
    if runs:
        opened = RunTaker(opened)
    return Conductor(machines={opened.name: opened}, folder=folder, listener=lambda _event: None)


@pytest.fixture
def fresh(in_ram: Path) -> Path:
    """A machine before each operation: two of its blocks are offline."""
    path = in_ram / "fresh.machine"
    StateFile.create(path, TEXT).close()
    blocks = Blocks(blocks=(BlockId(20), BlockId(21)))
    conductor(path, in_ram / "setup").begin(Operation(request=Offline(targets=(blocks,))))
    return path


IN_RUNS = ("offline, partly", "evacuate, and put back", "evacuate a device", "online")


@pytest.mark.parametrize(
    ("name", "runs"), [*((n, False) for n in OPERATIONS), *((n, True) for n in IN_RUNS)]
)
def test_a_kill_at_every_write(
    name: str, runs: bool, fresh: Path, in_ram: Path, record_property: Note
) -> None:
    request, conditions = OPERATIONS[name]
    operation = Operation(request=request, conditions=conditions)
    points = kill_at_every_write(operation, fresh, in_ram, runs=runs)
    tell(record_property, f"{name}, in runs" if runs else name, points)


@pytest.mark.parametrize("name", PREPARED)
def test_a_kill_at_every_write_of_what_is_prepared(
    name: str, in_ram: Path, record_property: Note
) -> None:
    text, request, conditions = PREPARED[name]
    fresh = in_ram / "fresh.machine"
    StateFile.create(fresh, text).close()
    operation = Operation(request=request, conditions=conditions)
    tell(record_property, name, kill_at_every_write(operation, fresh, in_ram, every=2))


def kill_at_every_write(
    operation: Operation, fresh: Path, in_ram: Path, *, runs: bool = False, every: int = 1
) -> int:
    """Kill it at every write, or in turns for who goes on and who goes back; tells how often."""
    machine, folder = in_ram / "m.machine", in_ram / "journal"
    before = look(fresh)
    shutil.copy(fresh, machine)
    ending = conductor(machine, folder, runs=runs).begin(operation)
    after = look(machine)
    if ending is not Ending.PUT_BACK and not isinstance(operation.request, Replace):
        assert after != before
    points = 0
    for turn, how in enumerate(("resume", "undo")):
        for point in range(turn % every, 2000, every):
            shutil.rmtree(folder)
            shutil.copy(fresh, machine)
            machine.with_name(machine.name + "-journal").unlink(missing_ok=True)
            killed = in_a_child(
                Killer(point), lambda: conductor(machine, folder, runs=runs).begin(operation)
            )
            if not killed:
                break
            points += 1
            check(how, machine, folder, (before, after, ending), point)
        else:
            pytest.fail("the operation never came to its end")
    assert points > 20
    return points


def check(
    how: str, machine: Path, folder: Path, promised: tuple[Any, Any, Ending], point: int
) -> None:
    """Go on or go back after a kill; only a kill before the journal leaves nothing to do."""
    before, after, ending = promised
    journals = Journals(folder)
    if not journals.names() or not story_begun(journals):
        assert look(machine) == before, point
        return
    if how == "resume":
        if journals.read("1").finished is None:
            assert conductor(machine, folder).resume("1") is ending, point
        assert look(machine) == after, point
    else:
        assert conductor(machine, folder).undo("1") is Ending.DONE, point
        assert look(machine) == before, point


def story_begun(journals: Journals) -> bool:
    """Whether the first line of the first journal was written to its end."""
    data = (journals.folder / "1.journal").read_bytes()
    return b"\n" in data and bool(json.loads(data.partition(b"\n")[0]))


def test_a_kill_at_every_write_of_undoing(fresh: Path, in_ram: Path, record_property: Note) -> None:
    """Undoing is an operation as any other: resumed, it ends where it should."""
    machine, folder, done = in_ram / "m.machine", in_ram / "journal", in_ram / "done"
    before = look(fresh)
    shutil.copy(fresh, done)
    conductor(done, folder).begin(Operation(request=Remove(device="dimm0")))
    kept = (folder / "1.journal").read_bytes()
    # The journal is bound to the machine, not to its file.
    points = 0
    for point in range(2000):
        shutil.rmtree(folder)
        folder.mkdir()
        (folder / "1.journal").write_bytes(kept)
        shutil.copy(done, machine)
        machine.with_name(machine.name + "-journal").unlink(missing_ok=True)
        if not in_a_child(Killer(point), lambda: conductor(machine, folder).undo("1")):
            break
        points += 1
        second = folder / "2.journal"
        if second.exists() and b"\n" in second.read_bytes():
            if Journals(folder).read("2").finished is None:
                assert conductor(machine, folder).resume("2") is Ending.DONE, point
        else:
            assert conductor(machine, folder).undo("1") is Ending.DONE, point
        assert look(machine) == before, point
    tell(record_property, "undo", points)
    assert points > 20


def test_a_kill_at_every_write_of_applying(
    fresh: Path, in_ram: Path, record_property: Note
) -> None:
    machine, folder = in_ram / "m.machine", in_ram / "journal"
    before = look(fresh)
    shutil.copy(fresh, machine)
    request = Offline(targets=(Blocks(blocks=MOVABLE),))
    plan = plan_offline(request, open_machine(f"model:{machine}").snapshot())
    assert conductor(machine, folder).apply(plan, ALL) is Ending.DONE
    after = look(machine)
    points = 0
    for how in ("resume", "undo"):
        for point in range(2000):
            shutil.rmtree(folder)
            shutil.copy(fresh, machine)
            machine.with_name(machine.name + "-journal").unlink(missing_ok=True)
            killed = in_a_child(Killer(point), lambda: conductor(machine, folder).apply(plan, ALL))
            if not killed:
                break
            points += 1
            check(how, machine, folder, (before, after, Ending.DONE), point)
    tell(record_property, "apply", points)
    assert points > 20


def test_a_kill_at_every_write_of_resuming(
    fresh: Path, in_ram: Path, record_property: Note
) -> None:
    """Killed once, then killed again while it is gone on with, at every write of that."""
    machine, folder = in_ram / "m.machine", in_ram / "journal"
    operation = Operation(request=Remove(device="dimm0"))
    shutil.copy(fresh, machine)
    conductor(machine, folder).begin(operation)
    after = look(machine)
    points = 0
    for first in (14, 23, 30, 41):
        for point in range(2000):
            shutil.rmtree(folder)
            shutil.copy(fresh, machine)
            machine.with_name(machine.name + "-journal").unlink(missing_ok=True)
            assert in_a_child(Killer(first), lambda: conductor(machine, folder).begin(operation))
            if not in_a_child(Killer(point), lambda: conductor(machine, folder).resume("1")):
                break
            points += 1
            if Journals(folder).read("1").finished is None:
                conductor(machine, folder).resume("1")
            assert look(machine) == after, (first, point)
    tell(record_property, "resume", points)
    assert points > 20
