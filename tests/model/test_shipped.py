"""The machines that come with memhp, as a newcomer meets them."""

import time
from pathlib import Path

import pytest

from memhp.core.errors import DescriptionError, NoSuchMachine
from memhp.core.geometry import GIB, MIB, TIB, NodeId
from memhp.core.words import ZoneType
from memhp.model.description import start
from memhp.model.kernel import Kernel
from memhp.model.shipped import load_description, load_shipped, shipped_machines, shipped_text
from memhp.model.steps import KernelRefusal
from memhp.model.tree.tree import Tree


def zones_of(kernel: Kernel) -> dict[int, set[ZoneType]]:
    found: dict[int, set[ZoneType]] = {}
    for zone in kernel.populated_zones():
        found.setdefault(zone.node, set()).add(zone.zone)
    return found


def test_these_come_with_memhp() -> None:
    assert shipped_machines() == ("host", "laptop", "rack16t", "rack16t-128m", "server")


@pytest.mark.parametrize("name", shipped_machines())
def test_every_one_says_what_it_is_about(name: str) -> None:
    assert load_shipped(name).about


def test_laptop() -> None:
    kernel = start(load_shipped("laptop"))
    assert (kernel.block_size_bytes, kernel.online_blocks()) == (128 * MIB, 128)
    assert zones_of(kernel) == {0: {ZoneType.DMA, ZoneType.DMA32, ZoneType.NORMAL}}
    with pytest.raises(KernelRefusal, match="slab: dentry") as refused:
        Tree(kernel).write("/sys/devices/system/memory/memory34/state", "offline")
    assert refused.value.errno_name == "EBUSY"


def test_server() -> None:
    kernel = start(load_shipped("server"))
    assert kernel.block_size_bytes == 2 * GIB
    assert zones_of(kernel)[1] == {ZoneType.MOVABLE}
    assert [(s.name, s.node, s.enabled) for s in kernel.slots.values()] == [
        (f"dimm{number}", 1, True) for number in range(4)
    ]
    assert kernel.firmware.nr_slots == 8
    failing = kernel.slots["dimm1"]
    assert {pfn << 12 in failing.range for pfn in kernel.poisoned} == {True}


def test_servers_failing_dimm_can_be_emptied_and_ejected() -> None:
    kernel = start(load_shipped("server"))
    Tree(kernel).write("/sys/bus/acpi/devices/PNP0C80:01/eject", "1")
    assert (kernel.slots["dimm1"].present, kernel.poisoned) == (False, set())


@pytest.mark.parametrize(
    ("name", "block_size_bytes", "nr_blocks"),
    [("rack16t", 2 * GIB, 8192), ("rack16t-128m", 128 * MIB, 131_072)],
)
def test_racks(name: str, block_size_bytes: int, nr_blocks: int) -> None:
    kernel = start(load_shipped(name))
    assert (kernel.block_size_bytes, kernel.online_blocks()) == (block_size_bytes, nr_blocks)
    assert nr_blocks * block_size_bytes == 16 * TIB
    assert {node for node, zones in zones_of(kernel).items() if zones == {ZoneType.MOVABLE}} == {
        NodeId(number) for number in range(1, 8)
    }


def test_racks_start_at_once() -> None:
    began = time.perf_counter()
    start(load_shipped("rack16t-128m"))
    assert time.perf_counter() - began < 0.5


def test_host_is_cut_into_guests() -> None:
    host = load_shipped("host")
    found = {guest.name: start(guest) for guest in host.guests}
    assert {name: kernel.online_blocks() for name, kernel in found.items()} == {
        "web": 32 + 64,
        "database": 128 + 64,
        # The kernel of 6.1 leaves what is added offline.
        "legacy": 32,
    }


def test_a_file_is_read_by_its_path(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(shipped_text("laptop"))
    assert load_description(str(file)).firmware == load_description("laptop").firmware
    assert load_description(str(file)).name == "mine"


def test_a_name_that_is_none_tells_which_there_are() -> None:
    with pytest.raises(NoSuchMachine) as caught:
        load_description("sever")
    assert str(caught.value) == (
        "machine 'sever' does not come with memhp: "
        "there are host, laptop, rack16t, rack16t-128m, server; or give a TOML file"
    )


@pytest.mark.parametrize("content", [None, b"\xff\xfe"], ids=["directory", "no-text"])
def test_what_cannot_be_read_says_so(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "m.toml"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    with pytest.raises(DescriptionError, match="cannot be read"):
        load_description(str(path))


def test_a_file_that_is_missing_says_so(tmp_path: Path) -> None:
    with pytest.raises(NoSuchMachine, match="is no file"):
        load_description(str(tmp_path / "m.toml"))
