"""virtio-mem: what the driver plugs and unplugs, and in which order."""

import pytest

from booted import MEMORY, PARAMETERS, booted, write, write_file, zones
from memhp.core.geometry import GIB, MIB, NodeId
from memhp.core.words import ZoneType
from memhp.model.kernel import Kernel
from memhp.model.steps import run
from memhp.model.tree.tree import Tree
from memhp.model.virtio_mem import resize


def machine(
    line: str = "memhp_default_state=online_movable", *, size: str = "4G", block: str = "2M"
) -> Kernel:
    return booted(
        f"""
        command_line = "{line}"
        [[node]]
        memory = "2G"
        [[virtio_mem]]
        size = "{size}"
        device_block = "{block}"
        """
    )


def ask(kernel: Kernel, mib: int) -> int:
    """Ask for an amount; returns what is plugged then, in MiB."""
    run(resize(kernel, kernel.virtio_mem["virtio-mem0"], mib * MIB))
    return kernel.virtio_mem["virtio-mem0"].plugged_bytes // MIB


def blocks(kernel: Kernel) -> list[int]:
    return [n for n in kernel.blocks.numbers() if n >= 32]


def movable(kernel: Kernel) -> tuple[int, int]:
    zone = kernel.zone(NodeId(0), ZoneType.MOVABLE)
    return zone.present, zone.managed


def test_whole_blocks_are_present_and_plugged_pages_managed() -> None:
    kernel = machine()
    assert ask(kernel, 300) == 300
    assert len(blocks(kernel)) == 3
    assert movable(kernel) == (98304, 76800)


def test_growing_fills_the_partial_block_first() -> None:
    kernel = machine()
    ask(kernel, 300)
    assert ask(kernel, 384) == 384
    assert movable(kernel) == (98304, 98304)


def test_shrinking_to_nothing_gives_every_block_back() -> None:
    kernel = machine()
    before = Tree(kernel).read("/proc/zoneinfo")
    ask(kernel, 300)
    assert ask(kernel, 0) == 0
    assert blocks(kernel) == []
    assert Tree(kernel).read("/proc/zoneinfo") == before


def test_the_highest_block_goes_first() -> None:
    kernel = machine()
    ask(kernel, 512)
    first = blocks(kernel)[0]
    assert ask(kernel, 256) == 256
    assert blocks(kernel) == [first, first + 1]


def test_movable_blocks_go_before_those_of_the_kernel() -> None:
    kernel = machine("memhp_default_state=online_kernel")
    ask(kernel, 256)
    low, high = blocks(kernel)
    write_file(kernel, f"{MEMORY}/auto_online_blocks", "online_movable")
    ask(kernel, 384)
    assert zones(kernel, low, high, high + 1) == ["Normal", "Normal", "Movable"]
    ask(kernel, 256)
    assert blocks(kernel) == [low, high]


@pytest.mark.parametrize("kind", ["unmovable", "pinned"])
def test_unplugging_stops_at_what_does_not_move(kind: str) -> None:
    kernel = machine()
    ask(kernel, 256)
    held: dict[int, str] = getattr(kernel, kind)
    held[blocks(kernel)[1]] = "a page that stays"
    assert ask(kernel, 0) == 128
    assert len(blocks(kernel)) == 1


def test_offline_memory_is_not_piled_up() -> None:
    """-ENOSPC while more than 1 GiB would be offline; coming online lets it go on."""
    kernel = machine("memhp_default_state=offline")
    assert ask(kernel, 2048) == 1024
    for number in blocks(kernel):
        write(kernel, number, "online_movable")
    assert kernel.virtio_mem["virtio-mem0"].plugged_bytes == 2 * GIB


def test_a_large_device_block_spans_several_memory_blocks() -> None:
    kernel = machine(block="256M")
    assert ask(kernel, 256) == 256
    assert len(blocks(kernel)) == 2
    assert ask(kernel, 0) == 0
    assert blocks(kernel) == []


@pytest.mark.parametrize("policy", ["contig-zones", "auto-movable"])
def test_the_ratio_is_kept_by_the_driver_too(policy: str) -> None:
    kernel = machine(f"memory_hotplug.online_policy={policy}")
    write_file(kernel, f"{PARAMETERS}/auto_movable_ratio", "50")
    ask(kernel, 4096)
    present, _ = movable(kernel)
    if policy == "contig-zones":
        assert present == 0
    else:
        # Half of 2 GiB of boot memory, and half of what became the kernel's since.
        kernel_pages = kernel.groups[0].present_kernel
        early = sum(zone.present_early for zone in kernel.zones.values())
        assert 0 < present <= (early + kernel_pages) // 2


def test_a_block_that_the_driver_did_not_add_is_left_alone() -> None:
    kernel = machine()
    ask(kernel, 256)
    number = blocks(kernel)[0]
    assert write(kernel, number, "offline") == ""
    assert ask(kernel, 128) == 128
    assert write(kernel, blocks(kernel)[0], "online_movable") in {"", "EINVAL"}


def test_what_cannot_move_is_kept_and_the_rest_given_back() -> None:
    kernel = machine("memhp_default_state=online_kernel")
    kernel.own_pages_block = False
    ask(kernel, 512)
    device = kernel.virtio_mem["virtio-mem0"]
    device.held = {32: 0b1001, 34: 0b10}
    assert ask(kernel, 0) == 3 * 2
    assert blocks(kernel) == [32, 34]
    assert device.plugged == {32: 0b1001, 33: 0, 34: 0b10, 35: 0}
    normal = kernel.zone(NodeId(0), ZoneType.NORMAL)
    assert (normal.present, normal.managed) == (2 * 32768, 3 * 512)
    device.held = {}
    assert ask(kernel, 0) == 0
    assert blocks(kernel) == []


def test_a_big_block_that_holds_something_is_kept_whole() -> None:
    kernel = machine("memhp_default_state=online_kernel", block="256M")
    kernel.own_pages_block = False
    ask(kernel, 768)
    kernel.virtio_mem["virtio-mem0"].held = {35: 1}
    assert ask(kernel, 0) == 256
    assert blocks(kernel) == [34, 35]
