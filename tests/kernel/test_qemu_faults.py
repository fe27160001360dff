"""Whatever breaks on the way to a guest: no device is lost or doubled, and the account is exact."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from cut_socket import cut_at
from fake_qemu import FakeQemu
from memhp.core.errors import (
    AnswerPending,
    CommandDenied,
    ContactLost,
    MachineLocked,
    NotSupported,
)
from memhp.core.events import Event, StepStarted
from memhp.core.geometry import NodeId
from memhp.core.outcome import Refused
from memhp.core.plan import Action, AddDevice, OfflineBlock, OnlineBlock, RemoveDevice, Step
from memhp.core.report import report_of
from memhp.core.request import Add, Offline, Online, Remove, Replace
from memhp.core.snapshot import Device
from memhp.core.targets import DeviceTarget
from memhp.core.words import BlockState, Ending, ExitCode, OnlineType
from memhp.machines.lab.kernels import KERNELS
from memhp.machines.open import open_machine
from memhp.machines.qemu.address import QemuAddress
from memhp.machines.qemu.machine import QemuMachine
from memhp.operations.conduct import Conductor
from memhp.operations.operation import Operation
from qemu_guests import DIMM, Lab, ask, blocks_of, one_guest

pytestmark = pytest.mark.kernel
MOVABLE = OnlineType.ONLINE_MOVABLE


@pytest.fixture(scope="module", params=KERNELS)
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """A guest; every test leaves both its DIMMs online, movable."""
    with one_guest(request.param) as found:
        yield found


@pytest.fixture(autouse=True)
def whole(lab: Lab, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[None]:
    """Before and after each test: two DIMMs, all movable, nothing left over."""
    if lab.guest.pid is None:
        pytest.fail("the guest has ended")
    lab.sh(
        "for d in /sys/devices/system/memory/memory3[2-5]; do read s < $d/state; "
        "[ $s = offline ] && echo online_movable > $d/state; done"
    )
    before = blocks_of(lab.machine.snapshot())
    assert before == {n: ("online", "Movable", "b0" if n < 34 else "b1") for n in range(32, 36)}
    objects = lab.objects()
    yield
    if request.function is test_a_panic_leaves_the_question_open:
        return
    after = {n: shown[:2] for n, shown in blocks_of(lab.machine.snapshot()).items()}
    assert after == {n: shown[:2] for n, shown in before.items()}
    assert lab.devices() == {"b0": DIMM, "b1": DIMM, "vm0": 0}
    assert lab.objects() == objects


def at_step(kind: type[Action], do: Callable[[], object]) -> Callable[[Event], None]:
    """A listener that does something once, just before the first step of a kind."""
    left = [do]

    def listener(event: Event) -> None:
        if isinstance(event, StepStarted) and isinstance(event.step.action, kind) and left:
            left.pop()()

    return listener


def conductor(lab: Lab, folder: Path, until: float | None = None) -> Conductor:
    return Conductor(
        machines={lab.name: lab.machine}, folder=folder, listener=lambda _event: None, until=until
    )


def test_without_an_agent_the_guest_takes_the_memory_offline_itself(
    lab: Lab, tmp_path: Path
) -> None:
    lab.restart_agent("none")
    try:
        snapshot = lab.machine.snapshot()
        assert snapshot.blocks == ()
        assert [d.name for d in snapshot.devices] == ["b0", "b1", "vm0"]
        [caution] = lab.machine.cautions()
        assert caution.startswith("no guest agent answers")
        assert ask(tmp_path, {"l": lab}, Remove(device="b1")) is Ending.DONE
        assert lab.devices() == {"b0": DIMM, "vm0": 0}
        assert conductor(lab, tmp_path).undo("1") is Ending.DONE
    finally:
        lab.restart_agent()
    online = Online(targets=(DeviceTarget(name="b1"),), online_type=MOVABLE)
    assert ask(tmp_path, {"l": lab}, online) is Ending.DONE


@pytest.mark.parametrize("blocked", ["guest-exec", "guest-exec,guest-file-open"])
def test_with_an_agent_that_allows_less(lab: Lab, tmp_path: Path, blocked: str) -> None:
    lab.restart_agent(f"-b {blocked}")
    try:
        cautions = lab.machine.cautions()
        assert "a deadline only ends the waiting" in cautions[0]
        assert len(cautions) == len(blocked.split(","))
        zones = "guest-file-open" not in blocked
        machine = lab.machine
        word = MOVABLE if zones else OnlineType.ONLINE
        block = next(b for b in machine.snapshot().blocks if b.block == 34)
        assert (block.zone, block.nodes) == (("Movable", (1,)) if zones else (None, ()))
        for action in (
            OfflineBlock(block=block.block),
            OnlineBlock(block=block.block, online_type=word),
        ):
            step = Step(machine=machine.name, action=action)
            outcome = machine.apply(step, until=None, tell=lambda _progress: None)
            assert not isinstance(outcome, Refused)
        refused = Step(
            machine=machine.name, action=OfflineBlock(block=machine.snapshot().blocks[0].block)
        )
        outcome = machine.apply(refused, until=None, tell=lambda _progress: None)
        assert isinstance(outcome, Refused)
        assert outcome.errno_name == "EINVAL"
    finally:
        lab.restart_agent()


@pytest.mark.parametrize("kind", [OfflineBlock, AddDevice, OnlineBlock])
def test_an_agent_that_dies_between_steps(lab: Lab, tmp_path: Path, kind: type[Action]) -> None:
    """What needs nobody in the guest is done all the same; 'resume' goes on with a new agent."""
    dying = at_step(kind, lambda: lab.restart_agent("none"))
    with pytest.raises((NotSupported, ContactLost), match=r"without its guest agent|not tell how"):
        ask(tmp_path, {"l": lab}, Replace(device="b1"), listener=dying)
    lab.restart_agent()
    assert conductor(lab, tmp_path).resume("1") is Ending.DONE


def test_the_deadline_ends_a_block_that_the_kernel_tries_for_ever(lab: Lab, tmp_path: Path) -> None:
    """The others stay as asked, none behind it is begun, and nothing is left in the guest."""
    pid = lab.hold_kernel_memory(1, 32, "pinned")
    events: list[Event] = []
    both = Offline(targets=(DeviceTarget(name="b0"), DeviceTarget(name="b1")))
    ending = ask(tmp_path, {"l": lab}, both, listener=events.append, until=time.monotonic() + 4)
    assert ending in {Ending.PARTLY, Ending.REFUSED}
    [refusal] = report_of(events).refusals
    assert refusal.outcome == Refused(reason="signal backoff", errno_name="EINTR")
    stuck = refusal.step.action
    assert isinstance(stuck, OfflineBlock)
    assert blocks_of(lab.machine.snapshot())[stuck.block][:2] == ("online", "Movable")
    assert not lab.runs()
    lab.sh(f"kill {pid}; while [ -d /proc/{pid} ]; do :; done")
    assert conductor(lab, tmp_path).undo("1") is Ending.DONE


KILL_AGENT = """(while set -- /tmp/memhp-run-*; [ ! -e $1 ]; do usleep 1000; done
killall -9 qemu-ga) > /dev/null 2>&1 &"""


def test_an_agent_that_dies_in_the_midst_of_a_run(lab: Lab, tmp_path: Path) -> None:
    """What it ran is still there, until whoever comes next ends it."""
    with ExitStack() as stack:

        def begin_to_wait() -> None:
            stack.enter_context(lab.blocks_that_never_answer(34, 35))
            lab.sh(KILL_AGENT)

        with pytest.raises(ContactLost, match="has gone in the midst of it"):
            ask(
                tmp_path,
                {"l": lab},
                Replace(device="b1"),
                listener=at_step(OfflineBlock, begin_to_wait),
            )
    assert lab.runs()
    lab.restart_agent()
    assert conductor(lab, tmp_path).resume("1") is Ending.DONE
    assert not lab.runs()


@pytest.mark.parametrize("way", ["resume", "undo"])
def test_killed_in_the_midst_of_a_run(lab: Lab, tmp_path: Path, way: str) -> None:
    """The program in the guest outlives memhp, until whoever comes next ends it."""
    heard, tells = os.pipe()
    with ExitStack() as stack:

        def begin_to_wait() -> None:
            stack.enter_context(lab.blocks_that_never_answer(34, 35))
            os.write(tells, b".")

        pid = os.fork()
        if pid == 0:
            listener = at_step(OfflineBlock, begin_to_wait)
            ask(tmp_path, {"l": lab}, Remove(device="b1"), listener=listener)
            os._exit(1)
        assert os.read(heard, 1) == b"."
        lab.sh("while set -- /tmp/memhp-run-*; [ ! -e $1 ]; do usleep 1000; done")
        os.kill(pid, signal.SIGKILL)
        assert os.WIFSIGNALED(os.waitpid(pid, 0)[1])
    lab.sh("for n in 34 35; do umount -l /sys/devices/system/memory/memory$n/state; done")
    os.close(heard)
    os.close(tells)
    assert lab.runs()
    worker = conductor(lab, tmp_path)
    assert (worker.resume if way == "resume" else worker.undo)("1") is Ending.DONE
    assert not lab.runs()
    if way == "resume":
        assert lab.devices() == {"b0": DIMM, "vm0": 0}
        assert worker.undo("1") is Ending.DONE


@pytest.mark.parametrize("arrives", [True, False], ids=["answer-lost", "command-lost"])
@pytest.mark.parametrize("command", ["object-del", "device_add", "device_del"])
def test_a_monitor_that_closes_half_way(
    lab: Lab, tmp_path: Path, command: str, arrives: bool
) -> None:
    with cut_at(command, lab.guest.monitor_path(), tmp_path / "cut", arrives=arrives) as path:
        sockets = QemuAddress(monitor=str(path), agent=lab.guest.agent_path())
        machine = QemuMachine(sockets.absolute, sockets.absolute, sockets)
        worker = Conductor(
            machines={machine.name: machine}, folder=tmp_path, listener=lambda _event: None
        )
        with pytest.raises(ContactLost):
            worker.begin(Operation(request=Replace(device="b1")))
        assert worker.resume("1") is Ending.DONE


def test_a_paused_guest_that_answers_after_the_undo(lab: Lab, tmp_path: Path) -> None:
    """The request cannot be withdrawn: the device is untouchable until the guest has answered."""
    pause = at_step(RemoveDevice, lambda: lab.qmp("stop"))
    until = time.monotonic() + 5
    ending = ask(tmp_path, {"l": lab}, Remove(device="b1"), listener=pause, until=until)
    assert ending is Ending.UNKNOWN
    device = next(d for d in lab.machine.snapshot().devices if d.name == "b1")
    assert device.pending is True
    with pytest.raises(ContactLost, match="does not tell how its memory blocks stand"):
        conductor(lab, tmp_path).undo("1")
    with pytest.raises(AnswerPending):
        ask(tmp_path, {"l": lab}, Remove(device="b1"))
    assert "b1" in lab.devices()
    lab.qmp("cont")
    while "b1" in lab.devices():
        pass
    # The backend outlives its device until somebody looks; then all is as it was asked for.
    assert "b1-memory" in lab.objects()
    assert conductor(lab, tmp_path).resume("1") is Ending.DONE
    assert "b1-memory" not in lab.objects()
    assert conductor(lab, tmp_path).undo("1") is Ending.DONE


def test_added_and_taken_back_while_the_guest_is_paused(lab: Lab, tmp_path: Path) -> None:
    """It hears of both at once, and its firmware tells it of one alone: that it has taken it."""
    lab.qmp("stop")
    try:
        soon = time.monotonic() + 1
        add = Add(size_bytes=DIMM, node=NodeId(1))
        assert ask(tmp_path, {"l": lab}, add, until=soon) is Ending.UNKNOWN
        worker = conductor(lab, tmp_path, until=time.monotonic() + 1)
        assert worker.undo("1") is Ending.UNKNOWN
        assert len(lab.devices()) == 4
    finally:
        lab.qmp("cont")
    assert conductor(lab, tmp_path).resume("2") is Ending.DONE


def test_a_guest_that_does_not_support_ejecting(lab: Lab, tmp_path: Path) -> None:
    switch = "/sys/firmware/acpi/hotplug/memory/enabled"
    lab.sh(f"echo 0 > {switch}")
    try:
        ending = ask(tmp_path, {"l": lab}, Remove(device="b1"))
        assert ending is Ending.PUT_BACK
        device = next(d for d in lab.machine.snapshot().devices if d.name == "b1")
        told = "asked to go: the guest does not support ejecting it"
        assert (device.pending, device.verdict) == (False, told)
    finally:
        lab.sh(f"echo 1 > {switch}")


def test_two_at_once(lab: Lab, tmp_path: Path) -> None:
    """The second is told who is at work, by whatever name; the first goes on undisturbed."""
    second: list[object] = []

    def meanwhile() -> None:
        for address in (lab.name, f"lab:{lab.guest.name}", lab.machine.address):
            machine = open_machine(address)
            worker = Conductor(
                machines={machine.name: machine}, folder=tmp_path, listener=lambda _event: None
            )
            try:
                worker.begin(Operation(request=Add(size_bytes=DIMM, node=NodeId(1))))
            except MachineLocked as error:
                second.append(error.exit_code)

    ending = ask(
        tmp_path, {"l": lab}, Replace(device="b1"), listener=at_step(OfflineBlock, meanwhile)
    )
    assert (ending, second) == (Ending.DONE, [ExitCode.LOCKED] * 3)


def shape_of(value: Any) -> Any:
    """The keys and types of an answer; of a list the shapes of its items."""
    if isinstance(value, dict):
        return {name: shape_of(item) for name, item in value.items()}
    if isinstance(value, list):
        return sorted({json.dumps(shape_of(item), sort_keys=True) for item in value})
    return type(value).__name__


QUESTIONS: list[tuple[str, dict[str, Any]]] = [
    ("query-uuid", {}),
    ("query-status", {}),
    ("query-migrate", {}),
    ("query-memory-devices", {}),
    ("query-memory-size-summary", {}),
    ("query-memdev", {}),
    ("qom-list", {"path": "/objects"}),
    ("qom-get", {"path": "/machine", "property": "memory"}),
    ("qom-get", {"path": "/machine/peripheral/vm0", "property": "size"}),
    ("qom-get", {"path": "/objects/b0-memory", "property": "type"}),
]


@pytest.mark.parametrize(("command", "arguments"), QUESTIONS)
def test_the_fake_answers_as_qemu_does(lab: Lab, command: str, arguments: dict[str, Any]) -> None:
    fake = FakeQemu()
    fake.dimm("b0")
    fake.virtio("vm0")
    fake.on_add = []
    assert shape_of(fake.answer(command, arguments)[0]) == shape_of(lab.qmp(command, arguments))


REFUSALS: list[tuple[str, dict[str, Any]]] = [
    ("device_del", {"id": "nothing"}),
    ("object-del", {"id": "nothing"}),
    ("object-del", {"id": "node0"}),
    ("object-add", {"qom-type": "memory-backend-ram", "id": "node0", "size": 1 << 27}),
]


@pytest.mark.parametrize(("command", "arguments"), REFUSALS)
def test_the_fake_refuses_as_qemu_does(lab: Lab, command: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(CommandDenied) as real:
        lab.qmp(command, arguments)
    with pytest.raises(ValueError, match=r".") as fake:
        FakeQemu().answer(command, arguments)
    assert real.value.answer == str(fake.value)


SEED = 20240
LINES = 16
POINTS = sorted(random.Random(SEED).sample(range(1, LINES + 1), 8))


@pytest.mark.parametrize(
    ("point", "way"), [(p, ("resume", "undo")[i % 2]) for i, p in enumerate(POINTS)]
)
def test_killed_at_any_point_it_goes_on_or_back(
    lab: Lab, tmp_path: Path, point: int, way: str
) -> None:
    """Killed behind the n-th line that it tells: plans, runs, and steps as they begin and end."""
    environment = os.environ | {"MEMHP_STATE_DIR": str(tmp_path)}
    memhp = [sys.executable, "-m", "memhp"]
    command = [*memhp, "replace", "b1", "-M", lab.name, "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as running:
        assert running.stdout is not None
        for _ in range(point):
            assert json.loads(running.stdout.readline())
        running.send_signal(signal.SIGKILL)
        running.wait()
    done = subprocess.run(
        [*memhp, way, "1"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    present = [d for d in lab.machine.snapshot().devices if d.present]
    assert [d.name for d in sorted(present, key=name_of)] == ["b0", "b1", "vm0"]


def name_of(device: Device) -> str:
    return device.name


def test_a_panic_leaves_the_question_open(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Last, for this guest never answers again."""
    monkeypatch.setattr("memhp.machines.qemu.open_agent._SYNC_SECONDS", 2.0)
    panic = "(sleep 0.2; echo c > /proc/sysrq-trigger) > /dev/null 2>&1 &"

    def crash() -> None:
        lab.sh(panic)
        while lab.sh_answers():
            pass

    machine = lab.machine
    states = {b.block: b.state for b in machine.snapshot().blocks}
    assert set(states.values()) >= {BlockState.ONLINE}
    until = time.monotonic() + 6
    ending = ask(
        tmp_path,
        {"l": lab},
        Remove(device="b1"),
        listener=at_step(RemoveDevice, crash),
        until=until,
    )
    assert ending is Ending.UNKNOWN
    assert lab.devices()["b1"] == DIMM
