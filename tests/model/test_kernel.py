"""Random changes of a kernel, whole or stopped half-way: its rules hold at every stop."""

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from kernel_rules import broken_rules
from memhp.core.words import BlockState, OnlineType
from memhp.model.acpi_memory import eject, plug_in
from memhp.model.description import parse_description, start
from memhp.model.hardware import give_address
from memhp.model.kernel import Kernel
from memhp.model.steps import KernelRefusal, Pause, Signal, Steps
from memhp.model.tree.tree import Tree
from memhp.model.virtio_mem import resize

MACHINE = """
kernel = "{kernel}"
command_line = "{line}"
distances = [[10, 20], [20, 10]]
[[node]]
memory = "2G"
[[node]]
memory = "1G"
hotpluggable = true
[[dimm]]
size = "512M"
node = 1
[[dimm]]
size = "384M"
waiting = true
[[dimm]]
size = "256M"
node = 1
waiting = true
[[virtio_mem]]
size = "1G"
node = 1
requested = "256M"
"""
LINES = (
    "",
    "movable_node",
    "kernelcore=1G",
    "movablecore=60%",
    "memory_hotplug.memmap_on_memory=Y memhp_default_state=offline",
    "memory_hotplug.online_policy=auto-movable memory_hotplug.auto_movable_ratio=50",
)
MEMORY = "/sys/devices/system/memory"
PARAMETERS = "/sys/module/memory_hotplug/parameters"
SIGNALLED_AT = {Pause.GOING_ONLINE, Pause.GOING_OFFLINE, Pause.MIGRATING}


class KernelUnderChange(RuleBasedStateMachine):
    """One kernel, and at most one change that has stopped half-way."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel: Kernel
        self.half_way: Steps[Any] | None = None

    @initialize(kernel=st.sampled_from(["6.12", "6.1"]), line=st.sampled_from(LINES))
    def boot(self, kernel: str, line: str) -> None:
        text = MACHINE.format(kernel=kernel, line=line)
        self.kernel = start(parse_description(text, "m.toml"))

    def change(self, steps: Steps[Any], stop_after: int | None) -> None:
        """Run to the end, or stop on the way and leave the change there."""
        if self.half_way is not None:
            # Whoever comes second waits for device_hotplug_lock.
            first = next(steps, None)
            assert first in {Pause.LOCK, None}
            steps.close()
            return
        self.half_way = steps
        for _ in range(99 if stop_after is None else stop_after):
            if not self.go_on():
                return

    def go_on(self) -> bool:
        """One stop further; false where the change has ended."""
        assert self.half_way is not None
        try:
            next(self.half_way)
        except (StopIteration, KernelRefusal):
            self.half_way = None
            return False
        assert broken_rules(self.kernel) == []
        return True

    @rule()
    def finish(self) -> None:
        while self.half_way is not None:
            self.go_on()

    @rule()
    def signal(self) -> None:
        """A signal ends an offline as -EINTR does; elsewhere the task may see it later."""
        if self.half_way is None:
            return
        try:
            self.half_way.throw(Signal())
        except (StopIteration, KernelRefusal, Signal):
            self.half_way = None
            states = {run.value.state for run in self.kernel.blocks}
            assert BlockState.GOING_OFFLINE not in states
            assert not self.kernel.hotplug_lock

    @rule(
        place=st.integers(0, 60),
        word=st.sampled_from(OnlineType),
        stop_after=st.none() | st.integers(1, 3),
    )
    def write_state(self, place: int, word: OnlineType, stop_after: int | None) -> None:
        numbers = list(self.kernel.blocks.numbers())
        path = f"{MEMORY}/memory{numbers[place % len(numbers)]}/state"
        self.change(Tree(self.kernel).write_steps(path, word), stop_after)

    @rule(word=st.sampled_from(OnlineType))
    def choose_what_comes_online(self, word: OnlineType) -> None:
        Tree(self.kernel).write(f"{MEMORY}/auto_online_blocks", word)

    @rule(
        choice=st.sampled_from(
            [
                ("online_policy", "auto-movable"),
                ("online_policy", "contig-zones"),
                ("auto_movable_ratio", "0"),
                ("auto_movable_ratio", "301"),
                ("auto_movable_numa_aware", "N"),
            ]
        )
    )
    def choose_a_policy(self, choice: tuple[str, str]) -> None:
        Tree(self.kernel).write(f"{PARAMETERS}/{choice[0]}", choice[1])

    @rule(
        event=st.sampled_from(["MEM_GOING_ONLINE", "MEM_GOING_OFFLINE"]),
        error=st.sampled_from([0, -12, -16]),
    )
    def inject(self, event: str, error: int) -> None:
        self.kernel.notifier_errors[event] = error

    @rule(slot=st.sampled_from(["dimm0", "dimm1", "dimm2"]), stop_after=st.none() | st.just(2))
    def eject(self, slot: str, stop_after: int | None) -> None:
        self.change(eject(self.kernel, self.kernel.slots[slot]), stop_after)

    @rule(name=st.sampled_from(["dimm0", "dimm1", "dimm2"]), stop_after=st.none() | st.just(2))
    def plug_in(self, name: str, stop_after: int | None) -> None:
        slot = self.kernel.slots[name]
        if not slot.present:
            give_address(self.kernel, slot)
            self.change(plug_in(self.kernel, slot), stop_after)

    @rule(eighths=st.integers(0, 8), stop_after=st.none() | st.integers(1, 3))
    def resize(self, eighths: int, stop_after: int | None) -> None:
        if self.half_way is None:
            self.change(
                resize(self.kernel, self.kernel.virtio_mem["virtio-mem0"], eighths << 27),
                stop_after,
            )

    @invariant()
    def rules_hold(self) -> None:
        assert broken_rules(self.kernel) == []


TestKernelUnderChange = KernelUnderChange.TestCase
TestKernelUnderChange.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
