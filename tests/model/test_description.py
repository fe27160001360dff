"""A description's text as values, and the machine that starts from it."""

import pytest

from memhp.core.geometry import GIB, MIB, TIB, NodeId
from memhp.core.ranges import PhysRange
from memhp.core.words import BlockState, OnlineType, ZoneType
from memhp.model.description import Description, parse_description, start
from memhp.model.description_failures import NotifierError, Pinned, Poisoned, Unmovable
from memhp.model.firmware import Affinity, Dimm, MapEntry, VirtioMem
from memhp.model.kernel import Proposals
from memhp.model.tree.tree import Tree

ONE_NODE = '[[node]]\nmemory = "4G"\n'
TWO_NODES = '[[node]]\nmemory = "2G"\n[[node]]\nmemory = "4G"\nhotpluggable = true\n'


def described(text: str) -> Description:
    return parse_description(text, "machines/my-pc.toml")


def mapped(text: str) -> list[tuple[int, int, str]]:
    entries = described(text).firmware.memory_map
    return [(entry.range.start, entry.range.end, entry.kind) for entry in entries]


def zones_of(text: str) -> dict[tuple[NodeId, ZoneType], tuple[int, int]]:
    kernel = start(described(text))
    return {key: (z.start_pfn, z.spanned) for key, z in kernel.zones.items() if z.populated}


def test_one_amount_makes_a_whole_machine() -> None:
    found = described(ONE_NODE)
    assert (found.name, found.about, found.profile.name) == ("my-pc", "", "6.12")
    assert (found.block_size_bytes, found.failures, found.guests) == (None, (), ())
    assert found.proposals == Proposals()
    assert found.firmware.cpu_nodes == (NodeId(0),)
    assert not found.firmware.hypervisor


def test_amounts_are_laid_out_as_a_pc_has_them() -> None:
    assert mapped(ONE_NODE) == [
        (0x0, 0x9FC00, "usable"),
        (0x9FC00, 0xA0000, "reserved"),
        (0xF0000, 0x100000, "reserved"),
        (0x100000, 0xBFFE0000, "usable"),
        (0xBFFE0000, 0xC0000000, "reserved"),
        (0xFFFC0000, 0x100000000, "reserved"),
        (0x100000000, 0x140000000, "usable"),
    ]


def test_nodes_follow_one_another_around_the_hole() -> None:
    boot_memory = [a for a in described(TWO_NODES).firmware.affinities if a.range.end <= 7 * GIB]
    assert boot_memory == [
        Affinity(range=PhysRange(start=0, end=0xA0000), node=NodeId(0), hotpluggable=False),
        Affinity(range=PhysRange(start=MIB, end=2 * GIB), node=NodeId(0), hotpluggable=False),
        Affinity(range=PhysRange(start=2 * GIB, end=3 * GIB), node=NodeId(1), hotpluggable=True),
        Affinity(range=PhysRange(start=4 * GIB, end=7 * GIB), node=NodeId(1), hotpluggable=True),
    ]


def test_low_memory_says_where_the_hole_begins() -> None:
    text = ONE_NODE + '[layout]\nlow_memory = "2G"\n'
    assert (4 * GIB, 6 * GIB, "usable") in mapped(text)


def test_little_memory_lies_below_the_hole() -> None:
    assert max(
        end for _, end, kind in mapped('[[node]]\nmemory = "512M"\n') if kind == "usable"
    ) == (512 * MIB - 128 * 1024)


def test_ranges_are_taken_as_they_are() -> None:
    text = '[[node]]\nranges = ["0x0-0x3fffffff", "0x100000000-0x13fffffff"]\n'
    assert [entry for entry in mapped(text) if entry[2] == "usable"] == [
        (0x0, 0x9FC00, "usable"),
        (0x100000, 0x40000000, "usable"),
        (0x100000000, 0x140000000, "usable"),
    ]


def test_mirrored_memory_counts_from_the_nodes_first_address() -> None:
    entries = described('[[node]]\nmemory = "8G"\nmirrored = "4G"\n').firmware.memory_map
    assert entries[-2:] == (
        MapEntry(range=PhysRange(start=4 * GIB, end=5 * GIB), kind="usable", mirrored=True),
        MapEntry(range=PhysRange(start=5 * GIB, end=9 * GIB), kind="usable"),
    )


def test_movable_node_moves_the_hotpluggable_one() -> None:
    assert zones_of('command_line = "movable_node"\n' + TWO_NODES)[NodeId(1), ZoneType.MOVABLE] == (
        2 * GIB >> 12,
        5 * GIB >> 12,
    )


def test_kernel_image_on_a_node_keeps_it_from_being_movable() -> None:
    moved = '[layout]\nkernel_image = "0x140000000-0x143ffffff"\n'
    zones = zones_of('command_line = "movable_node"\n' + TWO_NODES + moved)
    assert {zone for _, zone in zones} == {ZoneType.DMA, ZoneType.DMA32, ZoneType.NORMAL}


def test_dimms_get_slots_and_addresses_behind_boot_memory() -> None:
    text = ONE_NODE + (
        'dimm = [{ size = "1G" }, { size = "2G", waiting = true, name = "spare" },'
        ' { size = "1G", address = "0x180000000" }]\n'
    )
    # A list that stands behind [[node]] belongs to the node: put it first.
    head, tail = text.split("dimm", 1)
    firmware = described("dimm_slots = 8\ndimm" + tail + head).firmware
    assert firmware.dimms == (
        Dimm(name="dimm0", size_bytes=GIB, node=NodeId(0), start=5 * GIB),
        Dimm(name="spare", size_bytes=2 * GIB, node=NodeId(0), start=7 * GIB, present=False),
        Dimm(name="dimm2", size_bytes=GIB, node=NodeId(0), start=6 * GIB),
    )
    assert firmware.nr_slots == 8
    assert firmware.hotplug_window == PhysRange(start=5 * GIB, end=13 * GIB)


def test_a_dimm_that_is_present_is_there_when_the_machine_has_started() -> None:
    kernel = start(described(ONE_NODE + '[[dimm]]\nsize = "1G"\n'))
    assert [run.start for run in kernel.blocks if run.value.group is not None] == [40]
    assert kernel.slots["dimm0"].enabled


def test_a_node_may_have_nothing_but_a_dimm_to_come() -> None:
    text = ONE_NODE + '[[node]]\ncpus = 0\n[[dimm]]\nsize = "1G"\nnode = 1\nwaiting = true\n'
    assert start(described(text)).possible_nodes == (0, 1)


def test_virtio_mem_devices_get_what_they_ask_for() -> None:
    text = ONE_NODE + '[[virtio_mem]]\nsize = "4G"\nrequested = "1G"\ndevice_block = "4M"\n'
    assert described(text).firmware.virtio_mem == (
        VirtioMem(
            name="virtio-mem0",
            range=PhysRange.at(5 * GIB, 4 * GIB),
            node=NodeId(0),
            device_block_bytes=4 * MIB,
            requested_bytes=GIB,
        ),
    )
    assert start(described(text)).online_blocks() == 32 + 8


def test_bare_metal_above_64_gib_has_large_blocks() -> None:
    large = '[[node]]\nmemory = "65G"\n'
    sizes = {
        text: start(described(text + large)).block_size_bytes
        for text in ("", "hypervisor = true\n", 'block_size = "128M"\n')
    }
    assert list(sizes.values()) == [2 * GIB, 2 * GIB, 128 * MIB]


def test_profiles_are_the_models() -> None:
    assert start(described('kernel = "3.2"\n' + ONE_NODE)).profile.hot_remove is False


def test_command_line_reaches_the_kernel() -> None:
    kernel = start(described('command_line = "memhp_default_state=online_kernel"\n' + ONE_NODE))
    assert kernel.settings.auto_online is OnlineType.ONLINE_KERNEL


def test_proposals_are_off_unless_asked_for() -> None:
    asked = 'command_line = "movablecore=acpi"\n' + TWO_NODES
    with_it = asked + "[proposals]\nmovablecore_acpi = true\n"
    assert (NodeId(1), ZoneType.MOVABLE) not in zones_of(asked)
    assert (NodeId(1), ZoneType.MOVABLE) in zones_of(with_it)


def test_the_proposed_sysctl_is_there_when_asked_for() -> None:
    path = "/proc/sys/vm/hotadd_memory_treat_as_movable"
    asked = ONE_NODE + "[proposals]\nhotadd_memory_treat_as_movable = true\n"
    assert not Tree(start(described(ONE_NODE))).exists(path)
    assert Tree(start(described(asked))).read(path) == "0\n"


FAILURES = """
[[dimm]]
size = "1G"
[[failures.unmovable]]
blocks = "3,33-34"
what = "slab: dentry"
[[failures.unmovable]]
addresses = "0x20000000-0x27ffffff"
what = "page tables"
[[failures.unmovable]]
dimm = "dimm0"
what = "a long-term pin"
[[failures.pinned]]
blocks = "5-6"
what = "an O_DIRECT buffer"
[[failures.notifier]]
event = "MEM_GOING_OFFLINE"
errno = "ENOMEM"
[[failures.poisoned]]
address = "0x100001000"
pages = 2
[[failures.poisoned]]
dimm = "dimm0"
pages = 2
"""


def test_failures_are_read() -> None:
    assert described(ONE_NODE + FAILURES).failures == (
        Unmovable(blocks=(range(3, 4), range(33, 35)), what="slab: dentry"),
        Unmovable(blocks=(range(4, 5),), what="page tables"),
        Unmovable(blocks=(range(40, 41),), what="a long-term pin"),
        Pinned(blocks=(range(5, 7),), what="an O_DIRECT buffer"),
        NotifierError(event="MEM_GOING_OFFLINE", errno=12),
        Poisoned(pfns=(0x100001, 0x100002)),
        Poisoned(pfns=(0x140000, 0x160000)),
    )


def test_failures_befall_the_machine_once_it_has_started() -> None:
    kernel = start(described(ONE_NODE + FAILURES))
    assert kernel.unmovable == {
        3: "slab: dentry",
        33: "slab: dentry",
        34: "slab: dentry",
        4: "page tables",
        40: "a long-term pin",
    }
    assert kernel.pinned == {5: "an O_DIRECT buffer", 6: "an O_DIRECT buffer"}
    assert kernel.notifier_errors == {"MEM_GOING_OFFLINE": -12}
    assert (kernel.poison_counter, len(kernel.poisoned)) == (4, 4)
    assert all(run.value.state is BlockState.ONLINE for run in kernel.blocks)


def test_guests_are_machines_of_their_own() -> None:
    text = ONE_NODE + '[guests.web]\nkernel = "6.1"\n[[guests.web.node]]\nmemory = "1G"\n'
    [guest] = described(text).guests
    assert (guest.name, guest.profile.name, guest.firmware.hypervisor) == ("web", "6.1", True)
    assert start(guest).online_blocks() == 8


@pytest.mark.parametrize("nr_nodes", [1, 8, 64])
def test_many_nodes_start_at_once(nr_nodes: int) -> None:
    kernel = start(described('[[node]]\nmemory = "256G"\n' * nr_nodes))
    assert kernel.mem_total_bytes() > nr_nodes * TIB // 5
