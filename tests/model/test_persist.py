"""A kernel that was saved and read back is the same, and goes on the same."""

import json
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from booted import shown
from memhp.core.words import OnlineType
from memhp.model.acpi_memory import eject, plug_in
from memhp.model.codec import CodecError
from memhp.model.description import parse_description, start
from memhp.model.hardware import give_address
from memhp.model.kernel import Kernel
from memhp.model.persist import (
    APART,
    HAPPENED,
    PARTS,
    decode_kernel,
    encode_kernel,
    fold_uevents,
    unfold_uevents,
)
from memhp.model.shipped import load_shipped, shipped_machines
from memhp.model.steps import KernelRefusal, run
from memhp.model.tree.tree import Tree
from memhp.model.uevents import Uevent
from memhp.model.virtio_mem import resize

MACHINE = """
command_line = "memory_hotplug.memmap_on_memory=Y"
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
size = "256M"
waiting = true
[[virtio_mem]]
size = "1G"
node = 1
requested = "256M"
[[failures.unmovable]]
blocks = 12
what = "slab: dentry"
[[failures.pinned]]
blocks = 13
what = "an O_DIRECT buffer"
"""
MEMORY = "/sys/devices/system/memory"


def read_back(kernel: Kernel) -> Kernel:
    return decode_kernel(encode_kernel(kernel))


def test_every_field_of_a_kernel_is_kept_in_one_place() -> None:
    kept = [name for names in PARTS.values() for name in names]
    assert sorted([*kept, *HAPPENED, *APART]) == sorted(field.name for field in fields(Kernel))


@pytest.mark.parametrize("name", shipped_machines())
def test_shipped_machines_are_read_back(name: str) -> None:
    kernel = start(load_shipped(name))
    again = read_back(kernel)
    assert encode_kernel(again) == encode_kernel(kernel)
    if kernel.blocks.total < 10_000:
        assert shown(again) == shown(kernel)


def test_a_change_touches_only_its_parts() -> None:
    kernel = start(parse_description(MACHINE, "m.toml"))
    before = encode_kernel(kernel)
    Tree(kernel).write("/sys/module/memory_hotplug/parameters/auto_movable_ratio", "400")
    after = encode_kernel(kernel)
    assert {part for part in PARTS if before[part] != after[part]} == {"settings"}


def test_many_runs_are_read_back() -> None:
    kernel = start(parse_description('[[node]]\nmemory = "64G"\nhotpluggable = true\n', "m.toml"))
    for number in range(100, 500, 2):
        kernel.unmovable[number] = "x"
    again = read_back(kernel)
    assert (again.blocks, again.unmovable) == (kernel.blocks, kernel.unmovable)


def test_bits_of_a_huge_block_are_read_back() -> None:
    kernel = start(parse_description(MACHINE, "m.toml"))
    kernel.virtio_mem["virtio-mem0"].plugged[99] = (1 << 40_000) - 1
    assert read_back(kernel).virtio_mem == kernel.virtio_mem


settings_files = st.sampled_from(
    [
        ("online_policy", "auto-movable"),
        ("online_policy", "contig-zones"),
        ("auto_movable_ratio", "50"),
        ("auto_movable_numa_aware", "N"),
    ]
)


class SavedBetweenSteps(RuleBasedStateMachine):
    """One kernel stays in the process, its twin is saved and read back at every step."""

    def __init__(self) -> None:
        super().__init__()
        self.stays = start(parse_description(MACHINE, "m.toml"))
        self.saved = read_back(self.stays)

    def both(self, do: Any) -> None:
        self.saved = read_back(self.saved)
        assert self._outcome(do, self.stays) == self._outcome(do, self.saved)

    @staticmethod
    def _outcome(do: Any, kernel: Kernel) -> str:
        sent = len(kernel.uevents)
        try:
            result = do(kernel)
        except KernelRefusal as refusal:
            result = refusal
        return f"{result} {kernel.uevents[sent:]}"

    @rule(number=st.integers(0, 60), word=st.sampled_from(OnlineType))
    def write_state(self, number: int, word: OnlineType) -> None:
        self.both(lambda kernel: Tree(kernel).write(f"{MEMORY}/memory{number}/state", word))

    @rule(word=st.sampled_from(OnlineType))
    def choose_what_comes_online(self, word: OnlineType) -> None:
        self.both(lambda kernel: Tree(kernel).write(f"{MEMORY}/auto_online_blocks", word))

    @rule(choice=settings_files)
    def choose_a_policy(self, choice: tuple[str, str]) -> None:
        name, value = choice
        path = f"/sys/module/memory_hotplug/parameters/{name}"
        self.both(lambda kernel: Tree(kernel).write(path, value))

    @rule(pfn=st.integers(0, 0x200000))
    def poison(self, pfn: int) -> None:
        self.both(lambda k: Tree(k).write(f"{MEMORY}/hard_offline_page", hex(pfn << 12)))

    @rule(slot=st.sampled_from(["dimm0", "dimm1"]))
    def eject(self, slot: str) -> None:
        self.both(lambda kernel: run(eject(kernel, kernel.slots[slot])).ost)

    @precondition(lambda self: not self.stays.slots["dimm1"].present)
    @rule()
    def plug_in(self) -> None:
        def do(kernel: Kernel) -> Any:
            give_address(kernel, kernel.slots["dimm1"])
            return run(plug_in(kernel, kernel.slots["dimm1"])).refusal

        self.both(do)

    @rule(sixteenths=st.integers(0, 16))
    def resize(self, sixteenths: int) -> None:
        self.both(lambda k: run(resize(k, k.virtio_mem["virtio-mem0"], sixteenths << 26)))

    @invariant()
    def they_are_the_same(self) -> None:
        assert encode_kernel(self.saved) == encode_kernel(self.stays)
        assert shown(read_back(self.saved)) == shown(self.stays)


TestSavedBetweenSteps = SavedBetweenSteps.TestCase
TestSavedBetweenSteps.settings = settings(max_examples=20, stateful_step_count=15)


uevents = st.lists(
    st.builds(
        Uevent,
        action=st.sampled_from(["add", "online"]),
        devpath=st.sampled_from(["/m/memory9", "/m/memory10", "/m/memory11", "/n/node0", "/x", ""]),
        subsystem=st.sampled_from(["memory", "node"]),
        seqnum=st.integers(1, 4),
    )
)


@given(uevents)
def test_uevents_are_read_back(sent: list[Uevent]) -> None:
    assert unfold_uevents(fold_uevents(sent)) == tuple(sent)


def test_uevents_of_consecutive_blocks_are_one_run() -> None:
    sent = [
        Uevent(action="add", devpath=f"/m/memory{n}", subsystem="memory", seqnum=n)
        for n in range(8, 1000)
    ]
    assert fold_uevents(sent) == '[["add","memory","/m/memory",8,8,992]]'


WHOLE = encode_kernel(start(parse_description(MACHINE, "m.toml")))
places = st.sampled_from([(part, at) for part, text in WHOLE.items() for at in range(len(text))])


@given(places, st.sampled_from(["", "0", "x", "[]", "null", "-1", '"', "{}", "1e999"]))
@settings(max_examples=400)
def test_damaged_text_is_refused_or_read_as_a_kernel(place: tuple[str, int], piece: str) -> None:
    part, at = place
    damaged = WHOLE | {part: WHOLE[part][:at] + piece + WHOLE[part][at + 1 :]}
    try:
        kernel = decode_kernel(damaged)
    except CodecError:
        return
    assert isinstance(kernel, Kernel)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"zones": 1}', "[" * 100_000])
def test_a_part_that_is_something_else_is_refused(part: str, text: str) -> None:
    with pytest.raises(CodecError):
        decode_kernel(WHOLE | {part: text})


def test_a_field_that_an_older_file_lacks_gets_its_default() -> None:
    settings_part = json.loads(WHOLE["settings"])
    del settings_part["settings"]["treat_as_movable"]
    again = decode_kernel(WHOLE | {"settings": json.dumps(settings_part)})
    assert again.settings.treat_as_movable is False


def test_an_older_file_knows_of_nothing_pinned() -> None:
    faults = json.loads(WHOLE["faults"])
    assert faults.pop("pinned") == [[13, "an O_DIRECT buffer"]]
    again = decode_kernel(WHOLE | {"faults": json.dumps(faults)})
    assert (again.pinned, again.unmovable) == ({}, {12: "slab: dentry"})
