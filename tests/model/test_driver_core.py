"""What the driver core gives devices and buses, and processors by node."""

import pytest

from booted import MEMORY, booted, with_dimm, write_file
from memhp.model.tree.processors import format_mask
from memhp.model.tree.tree import Tree

TWO_SOCKETS = """
[[node]]
memory = "2G"
[[node]]
memory = "2G"
cpus = 0
[[node]]
memory = "2G"
"""


@pytest.mark.parametrize(
    ("file", "word", "errno_name"),
    [
        ("memory5/uevent", "change\n", ""),
        ("memory5/uevent", "offline 5a8f-0 A=1", ""),
        ("memory5/uevent", "bogus", "EINVAL"),
        ("uevent", "bogus", "EINVAL"),
        ("memory5/power/control", "on", ""),
        ("memory5/power/control", "off", "EINVAL"),
        ("memory5/power/autosuspend_delay_ms", "5", "EIO"),
        ("memory5/power/runtime_status", "active", "EACCES"),
    ],
)
def test_what_is_written_to_a_device(file: str, word: str, errno_name: str) -> None:
    assert write_file(with_dimm(), f"{MEMORY}/{file}", word) == errno_name


def test_a_bus_links_to_its_devices_and_probes_no_other() -> None:
    kernel = with_dimm(dimm="256M")
    tree = Tree(kernel)
    assert tree.list("/sys/bus/memory/devices")[-2:] == ["memory32", "memory33"]
    assert tree.read("/sys/bus/memory/devices/memory33/state") == "offline\n"
    assert tree.read("/sys/bus/node/devices/node0/cpulist") == "0\n"
    assert not tree.exists("/sys/bus/memory/devices/memory34")
    assert write_file(kernel, "/sys/bus/memory/drivers_probe", "memory33\n") == ""
    assert write_file(kernel, "/sys/bus/memory/drivers_probe", "memory34\n") == "ENODEV"


def test_processors_are_numbered_over_the_nodes_that_have_any() -> None:
    tree = Tree(booted(TWO_SOCKETS))
    assert tree.read("/sys/devices/system/cpu/possible") == "0-1\n"
    nodes = "/sys/devices/system/node"
    shown = [
        (tree.read(f"{nodes}/node{n}/cpulist"), tree.read(f"{nodes}/node{n}/cpumap"))
        for n in range(3)
    ]
    assert shown == [("0\n", "1\n"), ("\n", "0\n"), ("1\n", "2\n")]
    assert tree.read(f"{nodes}/node2/cpu1/node2/cpulist") == "1\n"


@pytest.mark.parametrize(
    ("numbers", "nr_bits", "text"),
    [
        ([], 1, "0"),
        ([0, 3], 4, "9"),
        ([4], 5, "10"),
        ([31], 32, "80000000"),
        ([0, 32], 33, "1,00000001"),
        ([39], 40, "80,00000000"),
    ],
)
def test_a_mask_is_as_wide_as_there_may_be_processors(
    numbers: list[int], nr_bits: int, text: str
) -> None:
    """As ``bitmap_string()`` of ``lib/vsprintf.c`` has it."""
    assert format_mask(numbers, nr_bits) == text
