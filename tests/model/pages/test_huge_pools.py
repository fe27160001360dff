"""Pools of huge pages made larger and smaller, and what becomes of those in use."""

import pytest

from booted import booted, write, write_file
from memhp.core.geometry import GIB, MIB, NodeId
from memhp.model.kernel import Kernel
from memhp.model.pages.build import open_pages
from memhp.model.pages.processes import Processes
from memhp.model.pages.save import decode_pages, encode_pages
from memhp.model.persist import decode_kernel, encode_kernel
from memhp.model.tree.tree import Tree
from memhp.model.workload import Exit, Grow, Memory
from page_rules import broken_page_rules, content

TEXT = """
command_line = "movable_node"
[[node]]
memory = "1G"
[[node]]
memory = "512M"
hotpluggable = true
"""
FOLDER = "/sys/devices/system/node/node{}/hugepages/hugepages-{}kB"


class Machine:
    """A machine with a process that has six huge pages on node 1, of eight that it holds."""

    def __init__(self) -> None:
        self.kernel = booted(TEXT)
        self.processes = Processes(self.kernel, open_pages(self.kernel))
        grow = Grow(process="db", memory=Memory.HUGETLB_2M, size_bytes=12 * MIB, node=NodeId(1))
        self.processes.do(grow)
        assert self.hold(1, 8) == ""

    def hold(self, node: int, count: int | str, size_kib: int = 2048) -> str:
        return write_file(self.kernel, f"{FOLDER.format(node, size_kib)}/nr_hugepages", f"{count}")

    def pool(self, node: int, size_kib: int = 2048) -> list[int]:
        return pool(self.kernel, node, size_kib)


def pool(kernel: Kernel, node: int, size_kib: int = 2048) -> list[int]:
    """How many there are, and of these free and surplus ones."""
    tree, folder = Tree(kernel), FOLDER.format(node, size_kib)
    names = ("nr_hugepages", "free_hugepages", "surplus_hugepages")
    return [int(tree.read(f"{folder}/{name}")) for name in names]


@pytest.fixture
def machine() -> Machine:
    return Machine()


def test_free_ones_go_first_and_those_in_use_become_surplus(machine: Machine) -> None:
    assert machine.pool(1) == [8, 2, 0]
    assert machine.hold(1, 7) == ""
    assert machine.pool(1) == [7, 1, 0]
    assert machine.hold(1, 4) == ""
    assert machine.pool(1) == [6, 0, 2]
    machine.processes.do(Exit(process="db"))
    assert machine.pool(1) == [4, 4, 0]
    assert broken_page_rules(machine.kernel, open_pages(machine.kernel)) == []


def test_surplus_ones_are_kept_before_new_ones_are_made(machine: Machine) -> None:
    machine.hold(1, 4)
    machine.hold(1, 5)
    assert machine.pool(1) == [6, 0, 1]
    machine.hold(1, 9)
    assert machine.pool(1) == [9, 3, 0]


def test_as_many_as_there_is_room_for_and_on_no_other_node(machine: Machine) -> None:
    machine.hold(1, 10_000)
    there, free, surplus = machine.pool(1)
    assert (200 < there < 256, free, surplus) == (True, there - 6, 0)
    assert machine.pool(0) == [0, 0, 0]
    assert broken_page_rules(machine.kernel, open_pages(machine.kernel)) == []


def test_a_surplus_page_that_moves_is_surplus_where_it_goes(machine: Machine) -> None:
    """To a new page there, for none is free; the one that it leaves is nobody's."""
    machine.hold(1, 4)
    before = content(open_pages(machine.kernel))["db"]
    # The last block has a hole and stays, with one page; the others go.
    assert [write(machine.kernel, number, "offline") for number in (8, 9, 10)] == ["", "", ""]
    assert (machine.pool(0), machine.pool(1)) == ([5, 0, 2], [1, 0, 0])
    assert content(open_pages(machine.kernel))["db"] == before


def test_what_is_no_number_is_refused(machine: Machine) -> None:
    assert [machine.hold(1, word) for word in ("-1", "4k", "9" * 30)] == ["EINVAL"] * 3
    assert machine.pool(1) == [8, 2, 0]


def test_pages_of_one_gib() -> None:
    kernel = booted('[[node]]\nmemory = "8G"\n')
    open_pages(kernel)
    assert write_file(kernel, f"{FOLDER.format(0, GIB >> 10)}/nr_hugepages", "2") == ""
    assert pool(kernel, 0, GIB >> 10) == [2, 2, 0]
    assert "Hugetlb:         2097152 kB" in Tree(kernel).read("/proc/meminfo")
    assert write_file(kernel, f"{FOLDER.format(0, GIB >> 10)}/nr_hugepages", "0") == ""
    assert pool(kernel, 0, GIB >> 10) == [0, 0, 0]


def test_surplus_is_kept_in_a_state_file(machine: Machine) -> None:
    machine.hold(1, 4)
    kernel = decode_kernel(encode_kernel(machine.kernel))
    kernel.pages = decode_pages(kernel, dict(encode_pages(machine.kernel)))
    assert pool(kernel, 1) == [6, 0, 2]


def test_where_pages_are_not_known_there_are_no_pools() -> None:
    kernel = booted(TEXT)
    assert "hugepages" not in list(Tree(kernel).list("/sys/devices/system/node/node0"))
    assert list(kernel.huge_pools()) == []
