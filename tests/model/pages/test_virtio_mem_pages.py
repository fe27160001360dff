"""virtio-mem down to the page: what is plugged is the allocator's, what is in the way moves."""

import numpy as np

from booted import booted
from kernel_rules import broken_rules
from memhp.core.census import PageKind as Wanted
from memhp.core.geometry import GIB, MIB, NodeId
from memhp.model.kernel import Kernel
from memhp.model.pages.allocate import Request
from memhp.model.pages.build import open_pages
from memhp.model.pages.gfp import GFP_HIGHUSER_MOVABLE
from memhp.model.pages.words import PageKind
from memhp.model.steps import run
from memhp.model.virtio_mem import resize
from page_rules import broken_page_rules, content

TEXT = """
command_line = "memhp_default_state=online_movable"
[[node]]
memory = "1G"
[[virtio_mem]]
size = "1G"
requested = "300M"
"""


def resized(kernel: Kernel, size_bytes: int) -> int:
    device = kernel.virtio_mem["virtio-mem0"]
    run(resize(kernel, device, size_bytes))
    return device.plugged_bytes


def right(kernel: Kernel) -> None:
    assert broken_page_rules(kernel, open_pages(kernel)) == []
    assert list(broken_rules(kernel)) == []


def test_what_is_plugged_and_unplugged_is_the_allocators() -> None:
    kernel = booted(TEXT)
    pages = open_pages(kernel)
    right(kernel)
    for size in (310 * MIB, 500 * MIB, 140 * MIB, 600 * MIB, 0):
        assert resized(kernel, size) == size
        right(kernel)
    assert pages.holders.holdings.keys() == {h.number for h in pages.structures.values()}


def test_what_is_in_the_way_moves_and_what_cannot_is_passed_over() -> None:
    kernel = booted(TEXT)
    pages = open_pages(kernel)
    held = pages.allocate(
        Request(gfp=GFP_HIGHUSER_MOVABLE, node=NodeId(0), count=60000), PageKind.ANON, "x"
    )
    assert held is not None
    heads = np.sort(pages.holders.heads(held))
    block = int(heads[-1]) // 32768
    before = content(pages)["x"]
    census = pages.census(*kernel.block_pfns(block))
    assert Wanted.ANON in census
    assert resized(kernel, 128 * MIB) == 128 * MIB
    assert content(pages)["x"] == before
    right(kernel)
    pages.holders.pin(held)
    left = resized(kernel, 0)
    assert 0 < left < GIB
    assert content(pages)["x"] == before
    right(kernel)


def test_the_census_names_what_the_driver_keeps() -> None:
    kernel = booted(TEXT)
    pages = open_pages(kernel)
    device = kernel.virtio_mem["virtio-mem0"]
    last = max(number for number, bits in device.plugged.items() if bits)
    census = pages.census(*kernel.block_pfns(last))
    assert census[Wanted.DRIVER] == 32768 - device.plugged[last].bit_count() * 512
    assert sum(census.values()) == 32768
