"""What a machine looks like when it has booted: block size, zones, movable memory, proposals."""

import pytest

from booted import MEMORY, booted, with_dimm, write, write_file, zones
from memhp.core.command_line import parse_command_line
from memhp.core.geometry import GIB, MIB, NodeId, pages_of, round_up
from memhp.core.words import OnlineType, ZoneType
from memhp.model.boot import block_size_for
from memhp.model.kernel import Kernel
from memhp.model.memblock import Region
from memhp.model.movable import MovableRules, movable_starts
from memhp.model.tree.tree import Tree

FOUR_GIB = pages_of(4 * GIB)
RULES = MovableRules(mirror_needs_a_mirrored_range=True, movablecore_acpi=False)


@pytest.mark.parametrize(
    ("top", "hypervisor", "expected"),
    [
        (2 * GIB, True, 128 * MIB),
        (64 * GIB - 1, True, 128 * MIB),
        (64 * GIB, True, 2 * GIB),
        # A hole of 2 GiB below 4 GiB counts: 63 GiB of RAM end at 65 GiB.
        (65 * GIB, True, 1 * GIB),
        (66 * GIB, True, 2 * GIB),
        (67 * GIB, True, 1 * GIB),
        (65 * GIB, False, 2 * GIB),
        (64 * GIB + 128 * MIB, True, 128 * MIB),
        (64 * GIB + 384 * MIB, True, 128 * MIB),
        (64 * GIB + 256 * MIB, True, 256 * MIB),
        (32 * 1024 * GIB, False, 2 * GIB),
    ],
)
def test_the_block_size_rule(top: int, hypervisor: bool, expected: int) -> None:
    assert block_size_for(top, hypervisor) == expected


def regions(*per_node: tuple[int, int] | list[tuple[int, int]]) -> tuple[Region, ...]:
    """Regions by node in bytes; the first page and the BIOS are not RAM."""
    found = []
    for node, ranges in enumerate(per_node):
        for start, end in [ranges] if isinstance(ranges, tuple) else ranges:
            found.append(
                Region(start_pfn=pages_of(start), end_pfn=pages_of(end), node=NodeId(node))
            )
    return tuple(found)


LOW = [(0x1000, 0x9F000)]
HOLE = 128 * 1024
TWO_AND_FOUR = regions([*LOW, (MIB, 2 * GIB - HOLE)], (4 * GIB, 8 * GIB))
ONE_AND_ONE = regions([*LOW, (MIB, GIB)], [(GIB, 2 * GIB - HOLE)])
ONE_TWO_THREE = regions(
    [*LOW, (MIB, GIB)],
    [(GIB, 2 * GIB - HOLE), (4 * GIB, 5 * GIB)],
    (5 * GIB, 8 * GIB),
)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("movablecore=1G", {1: 0x1C0000000}),
        ("kernelcore=3G", {1: 0x140400000}),
        ("movablecore=1001M", {1: 0x1C1400000}),
        ("kernelcore=100G", {}),
        ("", {}),
    ],
)
def test_amounts_on_nodes_of_two_and_four_gib(line: str, expected: dict[int, int]) -> None:
    starts = movable_starts(TWO_AND_FOUR, parse_command_line(line), FOUR_GIB, RULES)
    assert {node: pfn << 12 for node, pfn in starts.items()} == expected


def test_half_of_three_nodes() -> None:
    line = parse_command_line("movablecore=50%")
    starts = movable_starts(ONE_TWO_THREE, line, FOUR_GIB, RULES)
    assert {node: pfn << 12 for node, pfn in starts.items()} == {1: 0x100400000, 2: 0x180000000}


def test_an_amount_below_four_gib() -> None:
    line = parse_command_line("movablecore=1G")
    starts = movable_starts(ONE_AND_ONE, line, pages_of(16 * MIB), RULES)
    assert {node: pfn << 12 for node, pfn in starts.items()} == {0: 0x20400000, 1: 0x60000000}


@pytest.mark.parametrize("amount", ["1G", "37%", "2G", "1001M", "90%"])
@pytest.mark.parametrize("name", ["kernelcore", "movablecore"])
def test_what_is_asked_for_stays_with_the_kernel(name: str, amount: str) -> None:
    """At least as much as was asked for, or all that the nodes have of their share."""
    line = parse_command_line(f"{name}={amount}")
    starts = movable_starts(TWO_AND_FOUR, line, FOUR_GIB, RULES)
    assert all(pfn % 1024 == 0 for pfn in starts.values())
    total = sum(region.nr_pages for region in TWO_AND_FOUR)
    movable = sum(
        max(0, region.end_pfn - max(region.start_pfn, starts.get(region.node, region.end_pfn)))
        for region in TWO_AND_FOUR
    )
    asked = line.kernelcore_pages or total * line.kernelcore_percent // 10_000
    assert total - movable >= asked
    if line.movablecore_pages:
        assert movable <= round_up(line.movablecore_pages, 1024)


def test_with_mirrored_memory_the_rest_is_movable() -> None:
    mirrored = Region(
        start_pfn=FOUR_GIB, end_pfn=2 * FOUR_GIB, node=NodeId(0), hotpluggable=False, mirrored=True
    )
    plain = Region(start_pfn=2 * FOUR_GIB, end_pfn=3 * FOUR_GIB, node=NodeId(0))
    line = parse_command_line("kernelcore=mirror")
    assert movable_starts((mirrored, plain), line, FOUR_GIB, RULES) == {0: 2 * FOUR_GIB}
    assert movable_starts((plain,), line, FOUR_GIB, RULES) == {}
    older = MovableRules(mirror_needs_a_mirrored_range=False, movablecore_acpi=False)
    assert movable_starts((plain,), line, FOUR_GIB, older) == {0: 2 * FOUR_GIB}


HOTPLUGGABLE = """
command_line = "{line}"
[proposals]
movablecore_acpi = {acpi}
hotadd_memory_treat_as_movable = true
[[node]]
memory = "3G"
hotpluggable = {first}
[[node]]
memory = "2G"
hotpluggable = true
"""


def movable_on(kernel: Kernel, node: int) -> bool:
    zone = kernel.zone(NodeId(node), ZoneType.MOVABLE)
    others = [z for z in kernel.node_zones(NodeId(node)) if z is not zone and z.present]
    return zone.present > 0 and not others


@pytest.mark.parametrize(
    ("line", "acpi", "movable"),
    [
        ("", "false", False),
        ("movable_node", "false", True),
        ("movable_node kernelcore=1G", "false", True),
        ("movablecore=acpi", "true", True),
        ("movablecore=acpi", "false", False),
    ],
)
def test_a_hot_pluggable_node_is_movable_where_it_is_asked_for(
    line: str, acpi: str, movable: bool
) -> None:
    kernel = booted(HOTPLUGGABLE.format(line=line, acpi=acpi, first="false"))
    assert movable_on(kernel, 1) is movable


def test_a_node_that_the_kernel_had_to_use_is_not_movable() -> None:
    kernel = booted(HOTPLUGGABLE.format(line="movable_node", acpi="false", first="true"))
    assert not movable_on(kernel, 0)
    assert movable_on(kernel, 1)


def test_the_sysctl_makes_added_memory_movable() -> None:
    text = """
    command_line = "memhp_default_state=offline"
    proposals = { hotadd_memory_treat_as_movable = true }
    [[node]]
    memory = "1G"
    [[dimm]]
    size = "1G"
    """
    kernel = booted(text)
    path = "/proc/sys/vm/hotadd_memory_treat_as_movable"
    write(kernel, 32, "online")
    assert zones(kernel, 32) == ["Normal"]
    assert write_file(kernel, path, "1") == ""
    write(kernel, 39, "online")
    assert zones(kernel, 39) == ["Movable"]
    write(kernel, 38, "online_kernel")
    assert zones(kernel, 38) == ["Normal"]
    assert write_file(kernel, path, "perhaps") == "EINVAL"


def test_no_released_kernel_has_the_sysctl() -> None:
    path = "/proc/sys/vm/hotadd_memory_treat_as_movable"
    assert write_file(with_dimm(), path, "1") == "ENOENT"


def test_mem_cuts_boot_memory_at_an_address() -> None:
    kernel = booted('command_line = "mem=2G"\n[[node]]\nmemory = "8G"\n')
    assert max(kernel.blocks.numbers()) == 15


@pytest.mark.parametrize(
    ("kernel", "expected"), [("6.12", OnlineType.ONLINE), ("6.1", OnlineType.OFFLINE)]
)
def test_what_comes_online_by_itself_is_the_kernels_choice(
    kernel: str, expected: OnlineType
) -> None:
    machine = booted(f'kernel = "{kernel}"\n[[node]]\nmemory = "1G"\n')
    assert Tree(machine).read(f"{MEMORY}/auto_online_blocks") == f"{expected}\n"


def test_zones_that_share_a_span_lose_only_their_own_pages_to_booting() -> None:
    kernel = booted(
        """
        command_line = "kernelcore=mirror"
        [[node]]
        memory = "3G"
        [[node]]
        memory = "64G"
        mirrored = "256M"
        """
    )
    normal = kernel.zone(NodeId(1), ZoneType.NORMAL)
    movable = kernel.zone(NodeId(1), ZoneType.MOVABLE)
    assert normal.present == 65536
    # Beside its own pages it has those of a hole before them.
    assert normal.linked.total < 65536 + 512
    assert (movable.present, movable.linked.total) == (16711680, 16711680)
    # Node 1's memory map is larger than its mirrored memory, and comes from its top.
    assert normal.managed == normal.present
    assert movable.present - movable.managed >= 64 * 8 * 512
