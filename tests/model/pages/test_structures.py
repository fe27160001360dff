"""Memory maps and page tables as pages: where they lie, by setting, and what that prevents."""

import pytest

from booted import booted, plug, pull, write
from kernel_rules import broken_rules
from memhp.core.geometry import NodeId
from memhp.core.words import ZoneType
from memhp.model.hosted_structures import structure_of_others
from memhp.model.hot_add import remove_memory
from memhp.model.kernel import Kernel
from memhp.model.offline import device_offline
from memhp.model.page_tables import TableKind
from memhp.model.pages.allocate import Request
from memhp.model.pages.build import open_pages
from memhp.model.pages.gfp import GFP_KERNEL
from memhp.model.pages.words import PageKind
from memhp.model.steps import KernelRefusal, run
from page_rules import broken_page_rules, content

TEXT = """
command_line = "memhp_default_state=offline {line}"
[[node]]
memory = "512M"
[[node]]
cpus = 0
[[dimm]]
size = "1G"
node = 1
waiting = true
[proposals]
{proposals}
"""


def machine(line: str = "", proposals: str = "") -> Kernel:
    kernel = booted(TEXT.format(line=line, proposals=proposals))
    open_pages(kernel)
    return kernel


def test_a_memory_map_is_pages_of_another_node_and_they_come_back() -> None:
    kernel = machine()
    pages = open_pages(kernel)
    before = pages.area(NodeId(0), ZoneType.DMA32).free
    assert plug(kernel, "dimm0").refusal is None
    sections = [each for each in pages.structures if isinstance(each, int)]
    assert sections == list(range(32, 40))
    owners = {owner for owner in content(pages) if owner.startswith("section")}
    assert owners == {f"section {number}" for number in sections}
    tables = len(pages.structures) - len(sections)
    assert pages.area(NodeId(0), ZoneType.DMA32).free == before - 8 * 512 - tables
    assert broken_page_rules(kernel, pages) == []
    assert list(broken_rules(kernel)) == []
    assert pull(kernel, "dimm0").refusal is None
    pages.drain()
    assert pages.area(NodeId(0), ZoneType.DMA32).free == before
    assert list(broken_rules(kernel)) == []


def test_a_memory_map_keeps_its_block_from_going_offline() -> None:
    kernel = machine()
    pages = open_pages(kernel)
    # Past what booting left free in the blocks that it used.
    slab = pages.allocate(Request(gfp=GFP_KERNEL, node=NodeId(0), count=32000), PageKind.SLAB)
    assert slab is not None
    assert plug(kernel, "dimm0").refusal is None
    pages.free(slab)
    homes = ((number, kernel.page_tables.memmap_home.get(number) or 0) for number in range(32, 40))
    section, home = next(each for each in homes if each[1] in (1, 2))
    found = pages.obstacle(*kernel.block_pfns(home))
    assert found is not None
    assert (found.what, found.owner) == ("memory map", f"section {section}")
    assert write(kernel, home, "offline") == "EBUSY"


def test_no_room_for_the_memory_map_changes_nothing() -> None:
    kernel = machine()
    pages = open_pages(kernel)
    request = Request(gfp=GFP_KERNEL, node=NodeId(0), count=1 << 20)
    hog = pages.allocate(request, PageKind.SLAB, "hog")
    assert hog is not None
    before = content(pages)
    assert plug(kernel, "dimm0").refusal is not None
    assert content(pages) == before
    assert kernel.page_tables.memmap_home.count(32, 40) == 0
    assert broken_page_rules(kernel, pages) == []
    pages.free(hog)
    assert plug(kernel, "dimm0").refusal is None


def test_on_the_block_itself_nothing_is_taken_elsewhere() -> None:
    kernel = machine("memory_hotplug.memmap_on_memory=1")
    pages = open_pages(kernel)
    assert plug(kernel, "dimm0").refusal is None
    assert not [each for each in pages.structures if isinstance(each, int)]
    for number in range(32, 40):
        assert write(kernel, number, "online_movable") == ""
    assert pages.area(NodeId(1), ZoneType.MOVABLE).free == 8 * (32768 - 512)
    assert broken_page_rules(kernel, pages) == []
    for number in range(32, 40):
        assert write(kernel, number, "offline") == ""


def test_on_the_node_the_hosting_block_stays() -> None:
    """What it holds of others cannot move, so it cannot go, not even as the last."""
    kernel = machine(proposals="memmap_on_node = true")
    pages = open_pages(kernel)
    before = pages.area(NodeId(0), ZoneType.DMA32).free
    assert plug(kernel, "dimm0").refusal is None
    assert pages.area(NodeId(0), ZoneType.DMA32).free == before
    for number in range(32, 40):
        assert write(kernel, number, "online_movable") == ""
    # Eight memory maps; one entry of 1 GiB maps the rest, and needs no table.
    movable = kernel.zone(NodeId(1), ZoneType.MOVABLE)
    assert movable.managed == pages.area(NodeId(1), ZoneType.MOVABLE).free == 8 * (32768 - 512)
    for number in range(33, 40):
        assert write(kernel, number, "offline") == ""
    with pytest.raises(KernelRefusal) as refused:
        run(device_offline(kernel, 32))
    assert refused.value.errno_name == "EBUSY"
    assert refused.value.reason == (
        "failure to isolate range: page frame 0x100200: memory map of section 33"
    )
    assert list(broken_rules(kernel)) == []
    assert broken_page_rules(kernel, pages) == []
    assert pull(kernel, "dimm0").refusal is not None


def test_on_a_node_of_one_block_the_block_describes_itself_and_goes() -> None:
    kernel = booted(TEXT.format(line="", proposals="memmap_on_node = true").replace("1G", "128M"))
    assert plug(kernel, "dimm0").refusal is None
    assert write(kernel, 32, "online_movable") == ""
    assert write(kernel, 32, "offline") == ""


def test_tables_alone_keep_a_block() -> None:
    """Memory maps of 64 blocks fill the first one, so that a table would lie in the second."""
    proposals = "memmap_on_node = true"
    kernel = booted(TEXT.format(line="", proposals=proposals).replace('"1G"', '"8G"'))
    assert plug(kernel, "dimm0").refusal is None
    # Entries of 1 GiB need none; this one is what a device at an odd address would have.
    kernel.page_tables.tables[TableKind.DIRECT_PMD, 4] = 33
    found = structure_of_others(kernel, 33)
    assert found is not None
    assert (found.what, found.owner) == ("page table of the kernel", "the kernel (DIRECT_PMD 4)")
    host = structure_of_others(kernel, 32)
    assert host is not None
    assert (host.pfn, host.owner) == (kernel.block_pfn(32) + 512, "section 33")


def test_structures_of_a_machine_without_pages_move_too() -> None:
    proposals = "memmap_on_node = true\nmigrate_kernel = true"
    kernel = booted(TEXT.format(line="", proposals=proposals))
    assert plug(kernel, "dimm0").refusal is None
    for number in range(32, 40):
        assert write(kernel, number, "online_movable") == ""
    for number in range(32, 40):
        assert write(kernel, number, "offline") == ""
    assert kernel.page_tables.memmap_home.get(33) in range(4)
    assert list(broken_rules(kernel)) == []
    assert pull(kernel, "dimm0").refusal is None
    assert list(broken_rules(kernel)) == []


def test_on_the_node_the_structures_can_move_where_kernel_memory_can() -> None:
    kernel = machine(proposals="memmap_on_node = true\nmigrate_kernel = true")
    pages = open_pages(kernel)
    assert plug(kernel, "dimm0").refusal is None
    for number in (32, 33):
        assert write(kernel, number, "online_movable") == ""
    assert write(kernel, 32, "offline") == ""
    assert kernel.page_tables.memmap_home.get(33) != 32
    assert 33 in pages.structures
    assert broken_page_rules(kernel, pages) == []
    assert list(broken_rules(kernel)) == []


def test_structures_that_move_may_land_in_the_block_itself_and_move_again() -> None:
    kernel = machine(proposals="memmap_on_node = true\nmigrate_kernel = true")
    pages = open_pages(kernel)
    assert plug(kernel, "dimm0").refusal is None
    for number in range(32, 40):
        assert write(kernel, number, "online_kernel") == ""
    kernel.pinned[32] = "a pinned page"
    assert write(kernel, 32, "offline") == "EINTR"
    del kernel.pinned[32]
    for number in range(32, 40):
        assert write(kernel, number, "offline") == ""
        assert broken_page_rules(kernel, pages) == []
    assert list(broken_rules(kernel)) == []
    assert pull(kernel, "dimm0").refusal is None


@pytest.mark.parametrize("touched", [False, True])
def test_counts_are_the_same_touched_or_not(touched: bool) -> None:
    """Hosted pages and those of each zone count alike with pages and without."""
    kernel = booted(TEXT.format(line="", proposals=""))
    if touched:
        open_pages(kernel)
    assert plug(kernel, "dimm0").refusal is None
    zone = kernel.zone(NodeId(0), ZoneType.DMA32)
    assert zone.kernel_pages == 8 * 512
    assert pull(kernel, "dimm0").refusal is None
    assert zone.kernel_pages == 0


def test_boot_memory_that_is_removed_gives_its_memory_map_to_the_allocator() -> None:
    """``free_map_bootmem()``: the pages that booting kept for it are free on the other node."""
    kernel = booted(
        'command_line = "movable_node"\n[[node]]\nmemory = "1G"\n'
        '[[node]]\nmemory = "1G"\nhotpluggable = true\n'
    )
    pages = open_pages(kernel)
    zone = kernel.zone(NodeId(0), ZoneType.DMA32)
    managed, free = zone.managed, pages.area(NodeId(0), ZoneType.DMA32).free
    for number in (9, 10):
        assert write(kernel, number, "offline") == ""
        remove_memory(kernel, kernel.block_range(number))
    pages.drain()
    assert zone.managed == managed + 2 * 512
    assert pages.area(NodeId(0), ZoneType.DMA32).free == free + 2 * 512
    assert broken_page_rules(kernel, pages) == []
    assert list(broken_rules(kernel)) == []


def test_frames_beyond_16_tib() -> None:
    kernel = booted(
        '[[node]]\nranges = ["0x0-0x3fffffff"]\n'
        '[[node]]\nranges = ["0x200000000000-0x20003fffffff"]\n'
    )
    pages = open_pages(kernel)
    request = Request(gfp=GFP_KERNEL, node=NodeId(1), count=1000)
    held = pages.allocate(request, PageKind.SLAB, "x")
    assert held is not None
    heads = pages.holders.heads(held)
    assert (heads >> 21 == 1 << 12).all()
    before = content(pages)
    pages.free_pages(heads[::2])
    assert len(content(pages)["x"]) == 500
    assert set(content(pages)["x"]) < set(before["x"])
