"""Every form in which a guest answers, or does not, and what is then left in QEMU."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fake_qemu import FakeQemu, deleted, ost, serving
from memhp.core.errors import ContactLost, MachineError, MachineLocked, NoSuchMachine
from memhp.core.outcome import Done, Outcome, Partly, Refused, Unanswered
from memhp.core.plan import (
    Action,
    AddDevice,
    Expectation,
    ExpectDevice,
    RemoveDevice,
    ResizeDevice,
    Step,
)
from memhp.core.snapshot import Room
from memhp.machines.qemu import connection, physical
from memhp.machines.qemu import settle as settling
from memhp.machines.qemu.address import QemuAddress
from memhp.machines.qemu.machine import QemuMachine

Json = dict[str, Any]
UNPLUG_ERROR = {"event": "MEM_UNPLUG_ERROR", "data": {"device": "{id}", "msg": "busy"}}
GUEST_ERROR = {"event": "DEVICE_UNPLUG_GUEST_ERROR", "data": {"device": "{id}", "path": "/m/d"}}
OTHER = [deleted("another"), ost("another", 3, 0x82), {"event": "RESUME"}]
HANG_UP = {"event": "hang up"}
TO_NODE1 = AddDevice(device="dimm1", size_bytes=1 << 28, node=None)


@pytest.fixture
def qemu() -> FakeQemu:
    fake = FakeQemu()
    fake.dimm("dimm0")
    return fake


@pytest.fixture
def machine(qemu: FakeQemu, tmp_path: Path) -> Iterator[QemuMachine]:
    with serving(qemu, tmp_path / "qmp") as path:
        yield QemuMachine("qemu:fake", "qemu:fake", QemuAddress(monitor=path))


def apply(
    machine: QemuMachine, action: Action, expect: Expectation | None = None, seconds: float = 0.2
) -> Outcome:
    step = Step(machine=machine.name, action=action, expect=expect)
    until = time.monotonic() + seconds
    return machine.apply(step, until=until, tell=lambda _progress: None)


REMOVALS: list[tuple[list[Json], Outcome]] = [
    ([ost("{id}", 3, 0x84), deleted("{id}"), ost("{id}", 3, 0)], Done(note="removed")),
    ([*OTHER, deleted("{id}")], Done(note="removed")),
    (
        [ost("{id}", 3, 0x84), ost("{id}", 3, 0x82)],
        Refused(reason="the guest refuses: the device is in use"),
    ),
    ([ost("{id}", 3, 0x80)], Refused(reason="the guest does not support ejecting it")),
    ([ost("{id}", 3, 0x81)], Refused(reason="an application in the guest uses it")),
    ([ost("{id}", 3, 0x83)], Refused(reason="something that depends on it is in use in the guest")),
    ([ost("{id}", 3, 1)], Refused(reason="it failed, and the guest gives no reason")),
    ([ost("{id}", 0x103, 0x77)], Refused(reason="the guest reports ACPI status 0x77")),
    ([UNPLUG_ERROR], Refused(reason="QEMU could not unplug it: busy")),
    ([GUEST_ERROR], Refused(reason="the guest reports that it did not let the device go")),
    ([], Unanswered(asked="remove dimm0")),
    ([ost("{id}", 3, 0x84)], Unanswered(asked="remove dimm0")),
    ([ost("{id}", 1, 0x82), *OTHER[1:]], Unanswered(asked="remove dimm0")),
]


@pytest.mark.parametrize(("events", "outcome"), REMOVALS)
def test_a_removal_and_every_answer(
    qemu: FakeQemu, machine: QemuMachine, events: list[Json], outcome: Outcome
) -> None:
    qemu.on_del = events
    assert apply(machine, RemoveDevice(device="dimm0")) == outcome
    gone = isinstance(outcome, Done)
    assert ("dimm0" in qemu.devices, "dimm0-memory" in qemu.objects) == (not gone, not gone)
    # What waits for its answer is noted in QEMU itself, and nothing else is.
    assert ("memhp-asked-dimm0" in qemu.objects) is isinstance(outcome, Unanswered)


def test_what_waits_is_pending_until_the_verdict_changes(
    qemu: FakeQemu, machine: QemuMachine
) -> None:
    qemu.verdicts["dimm0"] = (3, 0x82)
    qemu.on_del = []
    assert pending(machine) == [False]
    assert isinstance(apply(machine, RemoveDevice(device="dimm0")), Unanswered)
    # An old refusal is not taken for the answer.
    assert pending(machine) == [True]
    qemu.verdicts["dimm0"] = (3, 0x84)
    qemu.status = "paused"
    assert (pending(machine), machine.settle()) == ([True], ())
    qemu.status = "running"
    qemu.verdicts["dimm0"] = (3, 0x81)
    assert (pending(machine), machine.settle()) == ([False], ())
    assert "memhp-asked-dimm0" not in qemu.objects


@pytest.mark.parametrize("old", [(0, 0), (3, 0x82)], ids=["never-asked", "refused-before"])
def test_what_was_not_sent_before_a_kill_is_not_waited_for(
    qemu: FakeQemu, machine: QemuMachine, monkeypatch: pytest.MonkeyPatch, old: tuple[int, int]
) -> None:
    monkeypatch.setattr(settling, "_LATE_SECONDS", 0.1)
    qemu.verdicts["dimm0"] = old
    qemu.on_del = []
    assert isinstance(apply(machine, RemoveDevice(device="dimm0")), Unanswered)
    del qemu.objects["memhp-sent-dimm0"]
    assert (pending(machine), machine.settle(), pending(machine)) == ([True], (), [False])
    assert set(qemu.objects) == {"node0", "dimm0-memory"}


def test_a_refusal_in_the_same_words_is_heard_the_second_time(
    qemu: FakeQemu, machine: QemuMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settling, "_LATE_SECONDS", 0.1)
    qemu.verdicts["dimm0"] = (3, 0x82)
    qemu.on_del = []
    assert isinstance(apply(machine, RemoveDevice(device="dimm0")), Unanswered)
    assert (machine.settle(), pending(machine)) == ((), [True])
    qemu.on_del = [ost("{id}", 3, 0x84), ost("{id}", 3, 0x82)]
    assert (machine.settle(), pending(machine)) == ((), [False])
    assert set(qemu.objects) == {"node0", "dimm0-memory"}


def pending(machine: QemuMachine) -> list[bool | None]:
    return [device.pending for device in machine.snapshot().devices if device.present]


def test_a_late_answer_is_settled_by_whoever_comes_next(
    qemu: FakeQemu, machine: QemuMachine
) -> None:
    qemu.on_del = []
    assert isinstance(apply(machine, RemoveDevice(device="dimm0")), Unanswered)
    del qemu.devices["dimm0"]
    assert machine.settle() == ("dimm0",)
    assert set(qemu.objects) == {"node0"}
    assert machine.settle() == ()


def test_a_device_that_has_gone_meanwhile_is_done_with(
    qemu: FakeQemu, machine: QemuMachine
) -> None:
    qemu.on_del = []
    assert isinstance(apply(machine, RemoveDevice(device="dimm0")), Unanswered)
    del qemu.devices["dimm0"]
    expect = ExpectDevice(device="dimm0", present=True)
    assert apply(machine, RemoveDevice(device="dimm0"), expect) == Done(note="removed")
    assert set(qemu.objects) == {"node0"}
    gone = apply(machine, RemoveDevice(device="dimm0"))
    assert gone == Refused(reason="the guest has no device dimm0")


ADDITIONS: list[tuple[list[Json], Outcome]] = [
    ([ost("{id}", 1, 0)], Done(note="at 0x140000000-0x14fffffff")),
    ([ost("{id}", 1, 0x80), ost("{id}", 0, 0)], Done(note="at 0x140000000-0x14fffffff")),
    ([ost("{id}", 1, 0x82)], Refused(reason="the guest does not support the device")),
    (
        [ost("{id}", 1, 0x81)],
        Refused(reason="the guest's driver for memory devices could not be loaded"),
    ),
    ([ost("{id}", 1, 0x99)], Refused(reason="the guest reports ACPI status 0x99")),
    ([ost("another", 1, 0)], Unanswered(asked="add dimm1 of 256M")),
]


@pytest.mark.parametrize(("events", "outcome"), ADDITIONS)
def test_an_addition_and_every_answer(
    qemu: FakeQemu, machine: QemuMachine, events: list[Json], outcome: Outcome
) -> None:
    qemu.on_add = events
    assert apply(machine, TO_NODE1) == outcome
    there = not isinstance(outcome, Refused)
    assert ("dimm1" in qemu.devices, "dimm1-memory" in qemu.objects) == (there, there)
    assert not [name for name in qemu.objects if name.startswith("memhp-")]


def test_a_failed_addition_leaves_nothing(qemu: FakeQemu, machine: QemuMachine) -> None:
    outcome = apply(machine, AddDevice(device="broken", size_bytes=1 << 28))
    assert isinstance(outcome, Refused)
    assert outcome.reason.startswith("not enough space")
    assert set(qemu.objects) == {"node0", "dimm0-memory"}
    twice = apply(machine, AddDevice(device="dimm0", size_bytes=1 << 28))
    assert twice == Refused(reason="the guest has a device dimm0 already")
    assert set(qemu.devices) == {"dimm0"}


def test_what_a_kill_left_of_an_addition_is_settled(qemu: FakeQemu, machine: QemuMachine) -> None:
    qemu.on_add = [HANG_UP]
    with pytest.raises(ContactLost, match="hung up"):
        apply(machine, TO_NODE1)
    assert {"dimm1-memory", "memhp-asked-dimm1"} <= set(qemu.objects)
    del qemu.devices["dimm1"]
    assert machine.settle() == ("dimm1",)
    assert set(qemu.objects) == {"node0", "dimm0-memory"}


def test_a_backend_in_use_is_never_deleted(qemu: FakeQemu, machine: QemuMachine) -> None:
    """A device of the same name came meanwhile: its backend is its own."""
    qemu.on_del = []
    assert isinstance(apply(machine, RemoveDevice(device="dimm0")), Unanswered)
    qemu.devices["again"] = qemu.devices.pop("dimm0")
    qemu.devices["again"]["data"]["id"] = "again"
    assert machine.settle() == ("dimm0",)
    assert "dimm0-memory" in qemu.objects


@pytest.mark.parametrize(
    ("steps", "wanted", "outcome"),
    [
        ([1 << 28, 3 << 28], 3 << 28, Done(note="768M plugged")),
        (
            [1 << 28],
            3 << 28,
            Partly(
                done_bytes=1 << 28,
                wanted_bytes=3 << 28,
                reason="the guest plugs no more: bring online first what is offline of it",
            ),
        ),
        (
            [],
            1 << 28,
            Partly(
                done_bytes=0,
                wanted_bytes=1 << 28,
                reason="the guest plugs nothing: it has no driver for it, or too much of it is "
                "offline",
            ),
        ),
        ([], (1 << 28) + 1, Refused(reason="vm0 gives multiples of 2M")),
        ([], 1 << 31, Refused(reason="vm0 can give 1G at most")),
    ],
)
def test_a_virtio_mem_device_and_how_far_it_gets(
    qemu: FakeQemu, machine: QemuMachine, steps: list[int], wanted: int, outcome: Outcome
) -> None:
    qemu.virtio("vm0")
    qemu.virtio_steps = steps
    found = apply(machine, ResizeDevice(device="vm0", requested_bytes=wanted), seconds=0.6)
    assert found == outcome


def test_a_guest_that_keeps_what_it_cannot_free(qemu: FakeQemu, machine: QemuMachine) -> None:
    qemu.virtio("vm0")
    qemu.devices["vm0"]["data"] |= {"size": 1 << 29, "requested-size": 1 << 29}
    qemu.virtio_steps = [3 << 27]
    action = ResizeDevice(device="vm0", requested_bytes=0)
    assert apply(machine, action, seconds=0.6) == Partly(
        done_bytes=1 << 27,
        wanted_bytes=1 << 29,
        reason="the guest keeps 384M, for it could free no more of it",
    )


def test_a_stale_expectation_is_refused_and_nothing_is_asked(
    qemu: FakeQemu, machine: QemuMachine
) -> None:
    qemu.virtio("vm0")
    expect = ExpectDevice(device="vm0", present=True, requested_bytes=1 << 28)
    action = ResizeDevice(device="vm0", requested_bytes=0)
    assert apply(machine, action, expect) == Refused(
        reason="expected vm0: present, 256M asked, found vm0: present, 0B asked"
    )
    assert "qom-set" not in qemu.asked


@pytest.mark.parametrize("status", ["active", "setup", "postcopy-active", "pre-switchover"])
def test_a_guest_that_migrates_is_left_alone(
    qemu: FakeQemu, machine: QemuMachine, status: str
) -> None:
    qemu.migration = status
    with pytest.raises(MachineError, match="is migrating to another host"):
        apply(machine, RemoveDevice(device="dimm0"))
    assert "device_del" not in qemu.asked
    qemu.migration = "completed"
    assert apply(machine, RemoveDevice(device="dimm0")) == Done(note="removed")


def test_a_paused_guest_is_named(qemu: FakeQemu, machine: QemuMachine) -> None:
    qemu.status, qemu.on_del = "paused", []
    outcome = apply(machine, RemoveDevice(device="dimm0"))
    assert outcome == Unanswered(asked="remove dimm0 (the guest is paused)")
    assert machine.cautions() == ("the guest is paused: it answers when it runs again",)


def test_room_and_arguments(qemu: FakeQemu, machine: QemuMachine) -> None:
    qemu.virtio("vm0")
    room = Room(slots=32, free_slots=31, free_bytes=(24 << 30) - (1 << 28) - (1 << 30))
    assert machine.snapshot().room == room
    assert machine.restart_arguments() == (
        "-object memory-backend-ram,id=dimm0-memory,size=268435456,reserve=off",
        "-device pc-dimm,id=dimm0,memdev=dimm0-memory,node=1,addr=0x100000000,slot=0",
        "-object memory-backend-ram,id=vm0-memory,size=1073741824,reserve=off",
        "-device virtio-mem-pci,id=vm0,memdev=vm0-memory,node=1,requested-size=0,"
        "memaddr=0x400000000,block-size=2097152",
    )


def test_nobody_listens(tmp_path: Path) -> None:
    nobody = QemuMachine("qemu:x", "qemu:x", QemuAddress(monitor=str(tmp_path / "none")))
    with pytest.raises(NoSuchMachine, match="No such file"):
        nobody.snapshot()


def test_a_monitor_that_another_client_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever comes second is let in and hears nothing."""
    monkeypatch.setattr(connection, "CONNECT_SECONDS", 0.1)
    path = tmp_path / "qmp"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        machine = QemuMachine("qemu:x", "qemu:x", QemuAddress(monitor=str(path)))
        with pytest.raises(MachineLocked, match="another seems to hold it"):
            machine.snapshot()


def test_without_a_deadline_patience_ends(
    qemu: FakeQemu, machine: QemuMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(physical, "PATIENCE_SECONDS", 0.1)
    qemu.on_del = []
    step = Step(machine=machine.name, action=RemoveDevice(device="dimm0"))
    outcome = machine.apply(step, until=None, tell=lambda _progress: None)
    assert outcome == Unanswered(asked="remove dimm0")
