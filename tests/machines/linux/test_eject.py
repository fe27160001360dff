"""A DIMM is ejected on trees of files in which somebody plays the kernel."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from memhp.core.errors import NotSupported
from memhp.core.events import StepProgress
from memhp.core.outcome import Done, Outcome, Refused, Unanswered
from memhp.core.plan import AddDevice, Plan, RemoveDevice, Step
from memhp.core.request import Remove
from memhp.machines.linux.dax import unbind
from memhp.machines.linux.devices import read_devices
from memhp.machines.linux.eject import Outside, eject
from memhp.machines.linux.hotplug_work import is_hotplug_at_work
from memhp.machines.linux.machine import LinuxMachine
from memhp.machines.linux.physical import why_not
from memhp.machines.linux.root import Root
from memhp.operations.able import check_able

SLOT = "sys/bus/acpi/devices/PNP0C80:00"
BLOCK = "sys/devices/system/memory/memory32"
STEP = Step(machine="linux:", action=RemoveDevice(device="PNP0C80:00"))


def write(root: Root, relative: str, word: str, until: float | None) -> str | None:
    """Take the word as the kernel does."""
    (Path(root.folder) / relative).write_text(word)
    return None


@dataclass
class Tree:
    """A machine's files, and what the kernel does at each look of a step that waits."""

    folder: Path
    root: Root
    now: float = 0.0

    def put(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def worker(self, name: str) -> None:
        self.put("proc/77/comm", f"{name}\n")

    def gone(self) -> None:
        """The kernel has removed it."""
        self.put(f"{SLOT}/status", "0\n")
        (self.folder / SLOT / "physical_node").unlink()

    def eject(self, at_look: Callable[[int], None], until: float | None = None) -> Outcome:
        looks = iter(range(10_000))

        def pause(seconds: float) -> None:
            self.now += seconds
            at_look(next(looks))

        outside = Outside(clock=lambda: self.now, pause=pause, write=write)
        told: list[StepProgress] = []
        return eject(self.root, "PNP0C80:00", STEP, until=until, tell=told.append, outside=outside)

    def asked(self) -> str:
        return (self.folder / SLOT / "eject").read_text()


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """One DIMM with an offline block, and a kernel's thread that is idle."""
    made = Tree(folder=tmp_path, root=Root(str(tmp_path), "linux:"))
    made.put(f"{SLOT}/status", "15\n")
    made.put(f"{SLOT}/eject", "")
    (tmp_path / SLOT / "physical_node").symlink_to("../../../memory/memory32")
    made.put(f"{BLOCK}/state", "offline\n")
    made.put("proc/2/comm", "kthreadd\n")
    made.put("proc/2/task/2/children", "77 \n")
    made.worker("kworker/u4:3-kacpi_hotplug")
    return made


def test_an_online_block_is_never_left_to_the_eject(tree: Tree) -> None:
    tree.put(f"{BLOCK}/state", "online\n")
    outcome = tree.eject(lambda _look: None)
    assert outcome == Refused(
        reason="memory32 of it is online again, and is never left to the eject"
    )
    assert tree.asked() == ""


def test_it_waits_while_the_kernel_works_and_sees_it_go(tree: Tree) -> None:
    tree.worker("kworker/u4:3+kacpi_hotplug")
    outcome = tree.eject(lambda look: tree.gone() if look == 500 else None)
    assert isinstance(outcome, Done)
    assert tree.asked() == "1"


def test_an_eject_that_the_kernel_has_given_up_is_refused(tree: Tree) -> None:
    outcome = tree.eject(lambda _look: None)
    assert outcome == Refused(reason="the kernel has ended its try, and the device is still there")


def test_memory_that_went_from_a_device_that_stays(tree: Tree) -> None:
    outcome = tree.eject(
        lambda look: (tree.folder / SLOT / "physical_node").unlink() if look == 2 else None
    )
    assert isinstance(outcome, Refused)
    assert "the firmware did not eject it" in outcome.reason


def test_silence_until_the_deadline_is_no_answer(tree: Tree) -> None:
    tree.worker("kworker/u4:3+kacpi_hotplug")
    outcome = tree.eject(lambda _look: None, until=5.0)
    assert outcome == Unanswered(asked="remove PNP0C80:00")


def test_where_the_kernels_threads_are_not_seen_only_the_device_tells(tree: Tree) -> None:
    tree.put("proc/2/comm", "sh\n")
    assert is_hotplug_at_work(tree.root) is None
    assert isinstance(tree.eject(lambda _look: None), Unanswered)


def test_an_empty_slot_is_not_asked(tree: Tree) -> None:
    tree.gone()
    assert isinstance(tree.eject(lambda _look: None), Refused)
    assert tree.asked() == ""


def test_a_saved_tree_does_not_tell_what_waits(tree: Tree) -> None:
    saved = Root(str(tree.folder), "linux:saved")
    [device] = read_devices(saved, 128 << 20, ())
    assert (device.present, device.pending) == (True, None)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda tree: (tree.folder / SLOT / "eject").unlink(), "cannot eject it"),
        (
            lambda tree: tree.put("sys/firmware/acpi/hotplug/memory/enabled", "0\n"),
            "ACPI memory hotplug is off",
        ),
    ],
    ids=["no eject file", "switched off"],
)
def test_what_keeps_a_device_from_going_is_said_before(
    tree: Tree, change: Callable[[Tree], None], sentence: str
) -> None:
    assert why_not(tree.root, STEP.action) is None
    change(tree)
    assert sentence in (why_not(tree.root, STEP.action) or "")


class Live(Root):
    """A tree that is taken for a host."""

    is_writable = True


def test_who_may_not_write_can_plan_all_the_same(tree: Tree) -> None:
    machine = LinuxMachine(Live(str(tree.folder), "linux:"))
    plan = Plan(request=Remove(device="PNP0C80:00"), steps=(STEP,), marks={})
    (tree.folder / SLOT / "eject").unlink()
    # Neither root nor anybody else may write it: it leads nowhere.
    (tree.folder / SLOT / "eject").symlink_to("nowhere")
    check_able(plan, {STEP.machine: machine}, rights=False)
    with pytest.raises(NotSupported, match=r"run it (as root|on the host)"):
        check_able(plan, {STEP.machine: machine})
    (tree.folder / SLOT / "eject").unlink()
    with pytest.raises(NotSupported, match="cannot eject it"):
        check_able(plan, {STEP.machine: machine}, rights=False)


def test_hardware_is_put_in_by_hand(tree: Tree) -> None:
    new = AddDevice(device="dimm0", size_bytes=1 << 30)
    assert "by hand" in (why_not(tree.root, new) or "")
    back = AddDevice(device="PNP0C80:00")
    assert "once PNP0C80:00 is there" in (why_not(tree.root, back) or "")
    assert why_not(tree.root, RemoveDevice(device="dax0.0")) == "there is no dax device 'dax0.0'"


def test_a_dax_device_is_not_unbound_while_a_block_is_online(tree: Tree) -> None:
    folder = "sys/bus/dax/devices/dax0.0"
    for name, text in {"size": "268435456", "mapping0/start": "0x100000000"}.items():
        tree.put(f"{folder}/{name}", f"{text}\n")
    tree.put(f"{folder}/mapping0/end", "0x107ffffff\n")
    tree.put("sys/devices/system/memory/block_size_bytes", "8000000\n")
    (tree.folder / folder / "driver").symlink_to("../../drivers/kmem")
    tree.put(f"{BLOCK}/state", "online\n")
    assert unbind(tree.root, "dax0.0", None) == Refused(
        reason="memory32 of it is online, and would stay until a boot"
    )
