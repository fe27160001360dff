"""Hot add and hot remove: what is made, where it lies, what is refused, what is rolled back."""

import pytest

from booted import MEMORY, booted, gib, plug, pull, shown, span, states, with_dimm, write, zones
from memhp.core.geometry import GIB, MIB, NodeId
from memhp.core.ranges import PhysRange
from memhp.core.words import OnlineType, ZoneType
from memhp.model.acpi_memory import Ost
from memhp.model.blocks import MemoryGroup
from memhp.model.hot_add import add_memory, register_group, remove_memory
from memhp.model.kernel import Kernel
from memhp.model.kernel_pages import nodes_by_distance
from memhp.model.page_tables import Leaf, TableKind
from memhp.model.steps import KernelRefusal, run
from memhp.model.tree.tree import Tree

OFFLINE_LINE = "memhp_default_state=offline"


def add(kernel: Kernel, added: PhysRange, node: int = 0) -> str:
    """Add a range by hand; returns the errno's name, or nothing."""
    group = register_group(kernel, MemoryGroup(node=NodeId(node), max_pages=1))
    try:
        run(add_memory(kernel, added, group))
    except KernelRefusal as refusal:
        return refusal.errno_name
    return ""


@pytest.mark.parametrize(
    ("start", "size", "errno"),
    [
        (8 * GIB, 128 * MIB, ""),
        (8 * GIB, 64 * MIB, "EINVAL"),
        (8 * GIB + 64 * MIB, 128 * MIB, "EINVAL"),
        (0, 128 * MIB, "EEXIST"),
        (4 * GIB, 128 * MIB, "EEXIST"),
        (5 * GIB - 128 * MIB, 256 * MIB, "EEXIST"),
        (1 << 46, 128 * MIB, "E2BIG"),
        ((1 << 46) - 128 * MIB, 128 * MIB, ""),
    ],
)
def test_where_memory_may_be_added(start: int, size: int, errno: str) -> None:
    kernel = with_dimm()
    before = shown(kernel)
    assert add(kernel, PhysRange.at(start, size)) == errno
    if errno:
        assert shown(kernel) == before


def test_a_node_that_no_table_names_cannot_get_memory() -> None:
    with pytest.raises(KernelRefusal, match="node 7 is not possible") as caught:
        add(with_dimm(), gib(8, 9), node=7)
    assert caught.value.errno_name == "EINVAL"


def test_mem_limits_what_is_added_while_booting_and_nothing_later() -> None:
    kernel = with_dimm(f"{OFFLINE_LINE} mem=1G")
    assert not kernel.slots["dimm0"].enabled
    assert add(kernel, gib(8, 9)) == ""


def test_no_room_for_the_memory_map() -> None:
    """A DIMM needs 1/64 of its size: 128 GiB needs 2 GiB, and there is one."""
    kernel = with_dimm()
    before = shown(kernel)
    assert add(kernel, gib(64, 192)) == "ENOMEM"
    assert shown(kernel) == before


def test_added_memory_is_mapped_and_counted() -> None:
    kernel = with_dimm()
    tables = kernel.page_tables
    # 1 GiB at boot and the DIMM, in entries of 1 GiB but for the lowest one.
    before = {leaf: tables.direct_bytes(leaf) for leaf in Leaf}
    free = kernel.zone(NodeId(0), ZoneType.DMA32).kernel_pages
    assert add(kernel, PhysRange.at(8 * GIB, 256 * MIB)) == ""
    assert tables.direct_bytes(Leaf.PMD) - before[Leaf.PMD] == 256 * MIB
    assert tables.direct_bytes(Leaf.PUD) == before[Leaf.PUD]
    # Two sections: 2 MiB of page structures each, and the table that maps 256 MiB.
    taken = kernel.zone(NodeId(0), ZoneType.DMA32).kernel_pages - free
    assert taken == 2 * 512 + 1
    assert (TableKind.DIRECT_PMD, 8) in tables.tables
    remove_memory(kernel, PhysRange.at(8 * GIB, 256 * MIB))
    assert {leaf: tables.direct_bytes(leaf) for leaf in Leaf} == before
    assert kernel.zone(NodeId(0), ZoneType.DMA32).kernel_pages == free
    assert (TableKind.DIRECT_PMD, 8) not in tables.tables


def test_a_direct_map_entry_that_reaches_outside_stays() -> None:
    kernel = with_dimm()
    add(kernel, gib(8, 9))
    assert kernel.page_tables.direct_bytes(Leaf.PUD) >= GIB
    before = kernel.page_tables.direct_bytes(Leaf.PUD)
    remove_memory(kernel, PhysRange.at(8 * GIB, 128 * MIB))
    assert kernel.page_tables.direct_bytes(Leaf.PUD) == before


def test_the_memory_map_lies_on_the_nearest_node_with_kernel_memory() -> None:
    text = """
    command_line = "memhp_default_state=online_movable"
    distances = [[10, 40, 20], [40, 10, 30], [20, 30, 10]]
    [[node]]
    memory = "1G"
    [[node]]
    memory = "1G"
    [[node]]
    [[dimm]]
    size = "1G"
    node = 2
    """
    kernel = booted(text)
    assert nodes_by_distance(kernel, NodeId(2)) == [2, 0, 1]
    assert kernel.zone(NodeId(0), ZoneType.DMA32).kernel_pages >= 8 * 512
    assert kernel.zone(NodeId(1), ZoneType.DMA32).kernel_pages == 0


@pytest.mark.parametrize(
    ("kernel", "value", "dimm", "own_pages"),
    [
        ("6.12", "Y", "1G", 512),
        ("6.12", "force", "128M", 512),
        ("6.12", "N", "1G", 0),
        ("6.1", "Y", "128M", 512),
        ("6.1", "Y", "1G", 0),
        # Not a word that 6.1 knows: the parameter stays off.
        ("6.1", "force", "128M", 0),
    ],
)
@pytest.mark.parametrize("boot_size", ["1G", "66G"])
def test_memmap_on_memory(
    kernel: str, value: str, dimm: str, own_pages: int, boot_size: str
) -> None:
    text = f"""
    kernel = "{kernel}"
    block_size = "128M"
    command_line = "memory_hotplug.memmap_on_memory={value} memhp_default_state=online_movable"
    [[node]]
    memory = "{boot_size}"
    [[dimm]]
    size = "{dimm}"
    """
    machine = booted(text)
    movable = machine.zone(NodeId(0), ZoneType.MOVABLE)
    blocks = [run.value for run in machine.blocks if run.value.group is not None]
    assert {block.altmap_pages for block in blocks} == {own_pages}
    nr_blocks = movable.present // machine.pages_per_block
    assert movable.managed == movable.present - nr_blocks * own_pages


def test_a_large_block_hosts_its_memory_map() -> None:
    text = """
    command_line = "memory_hotplug.memmap_on_memory=1"
    hypervisor = false
    [[node]]
    memory = "64G"
    [[dimm]]
    size = "4G"
    """
    blocks = [run.value for run in booted(text).blocks if run.value.group is not None]
    assert [block.altmap_pages for block in blocks] == [8192]


def test_removing_is_refused_while_a_block_is_online() -> None:
    kernel = with_dimm()
    write(kernel, 35, "online_movable")
    before = shown(kernel)
    with pytest.raises(KernelRefusal) as caught:
        remove_memory(kernel, gib(4, 5))
    assert (caught.value.errno_name, shown(kernel)) == ("EBUSY", before)
    assert any("is onlined" in line for line in kernel.log)


def test_a_node_comes_with_its_first_memory_and_goes_with_its_last() -> None:
    kernel = with_dimm(node=1)
    tree = Tree(kernel)
    node = "/sys/devices/system/node"
    assert tree.read(f"{node}/online") == "0-1\n"
    assert tree.read(f"{node}/has_memory") == "0\n"
    write(kernel, 32, "online_movable")
    assert tree.read(f"{node}/has_memory") == "0-1\n"
    assert tree.read(f"{node}/has_normal_memory") == "0\n"
    write(kernel, 32, "offline")
    assert tree.exists(f"{node}/node1")
    assert pull(kernel, "dimm0").ost is Ost.SUCCESS
    assert not tree.exists(f"{node}/node1")
    assert kernel.uevents[-1].devpath == "/devices/system/node/node1"


def test_a_node_with_a_processor_stays() -> None:
    text = '[[node]]\nmemory = "1G"\n[[node]]\ncpus = 1\n[[dimm]]\nsize = "1G"\nnode = 1\n'
    kernel = booted(text)
    pull(kernel, "dimm0")
    assert Tree(kernel).exists("/sys/devices/system/node/node1")


def test_eject_takes_the_blocks_offline_by_itself() -> None:
    kernel = with_dimm("memhp_default_state=online_movable")
    verdict = pull(kernel, "dimm0")
    assert (verdict.ost, verdict.refusal) == (Ost.SUCCESS, None)
    assert 32 not in kernel.blocks
    assert span(kernel, 0, ZoneType.MOVABLE) == (0, 0)
    assert not kernel.slots["dimm0"].present


def test_an_eject_that_fails_brings_blocks_back_by_the_policy() -> None:
    """Movable memory may come back in a kernel zone: the type is not remembered."""
    kernel = with_dimm()
    write(kernel, 32, "online_movable")
    write(kernel, 33, "online_kernel")
    kernel.unmovable[33] = "slab"
    assert pull(kernel, "dimm0").ost is Ost.DEVICE_IN_USE
    assert zones(kernel, 32, 33) == ["Normal", "Normal"]
    assert states(kernel, 34) == ["offline"]
    assert kernel.slots["dimm0"].present


def test_an_eject_uses_armed_types_when_it_rolls_back() -> None:
    kernel = with_dimm()
    write(kernel, 32, "online_kernel")
    write(kernel, 32, "online_movable")
    write(kernel, 33, "online_kernel")
    kernel.unmovable[33] = "slab"
    pull(kernel, "dimm0")
    assert zones(kernel, 32) == ["Movable"]


def test_an_eject_goes_on_behind_a_block_that_refuses() -> None:
    """The first pass tries every block, as the events show."""
    kernel = with_dimm("memhp_default_state=online_movable")
    kernel.unmovable[33] = "a pinned page"
    sent = len(kernel.uevents)
    pull(kernel, "dimm0")
    told = [(u.action, u.devpath.removeprefix(f"{MEMORY[4:]}/")) for u in kernel.uevents[sent:]]
    others = [f"memory{n}" for n in (32, 34, 35, 36, 37, 38, 39)]
    assert told == [("offline", name) for name in others] + [("online", name) for name in others]


def test_eject_through_the_acpi_files() -> None:
    kernel = with_dimm("memhp_default_state=online_movable")
    tree = Tree(kernel)
    device = "/sys/bus/acpi/devices/PNP0C80:00"
    assert tree.read(f"{device}/status") == "15\n"
    tree.write(f"{device}/eject", "1")
    assert not kernel.slots["dimm0"].present


def test_a_dimm_that_was_taken_out_goes_in_again_at_its_place() -> None:
    kernel = with_dimm("memhp_default_state=online_movable")
    pull(kernel, "dimm0")
    assert plug(kernel, "dimm0").refusal is None
    assert zones(kernel, 32, 39) == ["Movable", "Movable"]


def test_a_dimm_that_the_kernel_rejects_sits_there_unused() -> None:
    kernel = with_dimm(dimm="1G")
    pull(kernel, "dimm0")
    kernel.slots["dimm0"].start = 64 * MIB + 8 * GIB
    verdict = plug(kernel, "dimm0")
    assert verdict.ost is Ost.SUCCESS
    assert verdict.refusal is not None
    assert verdict.refusal.errno_name == "EINVAL"
    assert (kernel.slots["dimm0"].present, kernel.slots["dimm0"].enabled) == (True, False)


def test_the_first_block_that_does_not_come_online_ends_the_walk() -> None:
    kernel = with_dimm("memhp_default_state=online", dimm="1G")
    pull(kernel, "dimm0")
    kernel.notifier_errors["MEM_GOING_ONLINE"] = -12
    assert plug(kernel, "dimm0").refusal is None
    assert set(states(kernel, *range(32, 40))) == {"offline"}
    assert kernel.settings.auto_online is OnlineType.ONLINE


def test_uevents_of_an_added_device() -> None:
    kernel = with_dimm("memhp_default_state=online_movable", dimm="256M", node=1)
    told = [f"{u.action} {u.devpath.rpartition('/')[2]}" for u in kernel.uevents]
    assert told == [
        "add memory32",
        "add memory33",
        "add node1",
        "online memory32",
        "online memory33",
    ]
    numbers = [u.seqnum for u in kernel.uevents]
    assert numbers == list(range(numbers[0], numbers[0] + 5))
