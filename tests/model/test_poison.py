"""Poisoned pages: what is accepted, and what a poisoned block can still do."""

import pytest

from booted import MEMORY, pull, with_dimm, write, write_file
from memhp.core.geometry import GIB, MIB
from memhp.model.tree.tree import Tree

HARD = f"{MEMORY}/hard_offline_page"
SOFT = f"{MEMORY}/soft_offline_page"
IN_32 = hex(4 * GIB + 5 * MIB)
IN_33 = hex(4 * GIB + 129 * MIB)


@pytest.mark.parametrize(
    ("file", "word", "errno"),
    [
        (HARD, IN_32, ""),
        (HARD, "0x1g", "EINVAL"),
        (HARD, "-1", "EINVAL"),
        (HARD, IN_33, "ENXIO"),
        (HARD, hex(64 * GIB), "ENXIO"),
        (SOFT, IN_32, ""),
        (SOFT, IN_33, "EIO"),
        (SOFT, hex(64 * GIB), "ENXIO"),
    ],
)
def test_what_is_accepted(file: str, word: str, errno: str) -> None:
    kernel = with_dimm()
    write(kernel, 32, "online_movable")
    assert write_file(kernel, file, word) == errno


def test_a_page_is_poisoned_once() -> None:
    kernel = with_dimm()
    write(kernel, 32, "online_movable")
    write_file(kernel, HARD, IN_32)
    assert write_file(kernel, HARD, IN_32) == "EHWPOISON"
    assert write_file(kernel, SOFT, IN_32) == ""
    assert "HardwareCorrupted:     4 kB" in Tree(kernel).read("/proc/meminfo")


@pytest.mark.parametrize(("kernel", "online", "left"), [("6.12", "EHWPOISON", 0), ("3.9", "", 4)])
def test_a_poisoned_block_goes_offline_and_may_not_come_back(
    kernel: str, online: str, left: int
) -> None:
    machine = with_dimm(kernel=kernel)
    write(machine, 39, "online_movable")
    machine.poisoned.add((5 * GIB - MIB) >> 12)
    machine.poison_counter = 1
    assert write(machine, 39, "offline") == ""
    assert write(machine, 39, "online_movable") == online
    assert pull(machine, "dimm0").refusal is None
    assert machine.poison_counter * 4 == left
    assert not machine.poisoned
