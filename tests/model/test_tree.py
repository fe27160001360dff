"""The tree of files: paths, links, texts, and what may be written."""

import errno

import pytest

from booted import MEMORY, PARAMETERS, booted, with_dimm, write
from memhp.core.acpi.slit import parse_slit
from memhp.core.acpi.srat import parse_srat
from memhp.model.steps import KernelRefusal
from memhp.model.tree.tree import Tree

NODES = "/sys/devices/system/node"


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (f"{MEMORY}/block_size_bytes", "8000000\n"),
        (f"{MEMORY}/memory32/state", "offline\n"),
        (f"{MEMORY}/memory32/online", "0\n"),
        (f"{MEMORY}/memory32/phys_index", "00000020\n"),
        (f"{MEMORY}/memory32/phys_device", "0\n"),
        (f"{MEMORY}/memory32/removable", "1\n"),
        (f"{MEMORY}/memory32/node0/memory32/state", "offline\n"),
        (f"{NODES}/node0/memory32/valid_zones", "Normal Movable\n"),
        (f"{NODES}/possible", "0-1\n"),
        (f"{NODES}/node0/distance", "10\n"),
        ("/proc/cmdline", "memhp_default_state=offline\n"),
        ("/sys/bus/acpi/devices/PNP0C80:00/status", "15\n"),
        ("/sys/kernel/debug/notifier-error-inject/memory/actions/MEM_GOING_ONLINE/error", "0\n"),
    ],
)
def test_what_a_file_reads(path: str, text: str) -> None:
    assert Tree(with_dimm()).read(path) == text


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/nowhere", errno.ENOENT),
        (f"{MEMORY}/memory032/state", errno.ENOENT),
        (f"{MEMORY}/memory99", errno.ENOENT),
        (f"{MEMORY}/memory{'9' * 5000}", errno.ENOENT),
        (f"{MEMORY}/memory32/state/more", errno.ENOENT),
        (f"{MEMORY}/memory32", errno.EISDIR),
        (f"{MEMORY}/hard_offline_page", errno.EACCES),
    ],
)
def test_what_cannot_be_read(path: str, code: int) -> None:
    with pytest.raises(KernelRefusal) as caught:
        Tree(with_dimm()).read(path)
    assert caught.value.errno == code


@pytest.mark.parametrize(
    ("ratio", "code"),
    [("4294967296", errno.ERANGE), ("9" * 5000, errno.ERANGE), ("08", errno.EINVAL)],
    ids=["one too many", "digits without end", "no octal number"],
)
def test_a_ratio_that_is_none(ratio: str, code: int) -> None:
    with pytest.raises(KernelRefusal) as caught:
        Tree(with_dimm()).write(f"{PARAMETERS}/auto_movable_ratio", ratio)
    assert caught.value.errno == code


def test_lists_name_what_is_there() -> None:
    tree = Tree(with_dimm())
    assert "memory39" in tree.list(MEMORY)
    assert tree.list(f"{NODES}/node0") == [*tree.list(f"{NODES}/node0")]
    assert set(tree.list("/sys/bus/acpi/devices")) >= {"PNP0C80:00"}
    with pytest.raises(KernelRefusal) as caught:
        tree.list(f"{MEMORY}/block_size_bytes")
    assert caught.value.errno == errno.ENOTDIR


def test_every_file_that_lists_shows_can_be_reached() -> None:
    tree = Tree(with_dimm())
    paths = ["/"]
    while paths:
        path = paths.pop()
        for name in tree.list(path):
            inner = f"{path.rstrip('/')}/{name}"
            entry = tree.find(inner, follow=False)
            assert entry is not None, inner
            if hasattr(entry, "names"):
                paths.append(inner)


def test_a_handle_follows_its_block() -> None:
    """An entry found before a change shows the state after it, until the block goes."""
    kernel = with_dimm()
    tree = Tree(kernel)
    write(kernel, 32, "online_movable")
    assert tree.read(f"{MEMORY}/memory32/state") == "online\n"
    tree.write("/sys/bus/acpi/devices/PNP0C80:00/eject", "1")
    assert not tree.exists(f"{MEMORY}/memory32")


def test_acpi_tables_are_those_of_the_machine() -> None:
    tree = Tree(
        booted(
            "distances = [[10, 21], [21, 10]]\n"
            '[[node]]\nmemory = "2G"\n[[node]]\nmemory = "1G"\nhotpluggable = true\n'
        )
    )
    tables = "/sys/firmware/acpi/tables"
    assert parse_slit(tree.read_bytes(f"{tables}/SLIT")).distances == ((10, 21), (21, 10))
    srat = parse_srat(tree.read_bytes(f"{tables}/SRAT"))
    assert srat.warnings == ()
    assert srat.entries


def test_meminfo_and_node_meminfo_agree() -> None:
    kernel = with_dimm("memhp_default_state=online_movable", node=1)
    total = int(Tree(kernel).read("/proc/meminfo").split()[1])
    nodes = [int(Tree(kernel).read(f"{NODES}/node{node}/meminfo").split()[3]) for node in range(2)]
    assert total == sum(nodes)
    assert total * 1024 == kernel.mem_total_bytes()


def test_writing_nothing_does_nothing() -> None:
    kernel = with_dimm()
    Tree(kernel).write(f"{MEMORY}/memory32/state", "")
    assert Tree(kernel).read(f"{MEMORY}/memory32/state") == "offline\n"
