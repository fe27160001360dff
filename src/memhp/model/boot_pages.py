"""What the kernel keeps for itself while it boots, and in which blocks it lies.

``memblock_alloc()`` gives memory out from the top of a node down, and with
``movable_node`` from just above the kernel image up and never on a node that
is to be movable.

The amounts were read off the recordings of real kernels: besides the memory
map, the kernel image and the first MiB, a node loses about 110 pages, the
highest about 500, and the highest below 4 GiB the 64 MiB of the bounce buffer
(``swiotlb_init()``), which a machine has that could ever reach beyond 4 GiB.

Model: what drivers take later, while they start, is not counted.
"""

from collections.abc import Iterator
from typing import Final

from memhp.core.geometry import (
    GIB,
    MIB,
    PAGE_SIZE_BYTES,
    PAGES_PER_SECTION,
    NodeId,
    pages_of,
)
from memhp.core.ranges import PhysRange
from memhp.model.kernel import Kernel
from memhp.model.memblock import Region
from memhp.model.page_tables import MEMMAP_PAGES_PER_SECTION
from memhp.model.present import present_ranges
from memhp.model.runs import RangeSet

_NODE_PAGES: Final = 110
"""``NODE_DATA`` and what else a node needs to start."""
_HIGHEST_NODE_PAGES: Final = 500
"""The same for the highest node, where early page tables lie as well."""
_BOUNCE_PAGES: Final = pages_of(64 * MIB)
_FOUR_GIB_PFN: Final = pages_of(4 * GIB)


def reserve_boot_pages(kernel: Kernel) -> None:
    """Take what booting takes out of ``managed``, block by block, and map boot memory."""
    taken = RangeSet()
    _reserve_fixed(kernel, taken)
    for node in sorted({region.node for region in kernel.regions}):
        _reserve_memmap(kernel, node, taken)
    _reserve_bounce_buffer(kernel, taken)
    for zone in list(kernel.populated_zones()):
        present = present_ranges(kernel, zone)
        zone.managed -= sum(present.count(start, end) for start, end, _ in taken)
    kernel.reserved = taken
    _host(kernel, taken)
    _map_directly(kernel)


def _reserve_fixed(kernel: Kernel, taken: RangeSet) -> None:
    fixed = [PhysRange(start=PAGE_SIZE_BYTES, end=MIB), *kernel.firmware.kernel_image]
    if kernel.firmware.acpi_override is not None:
        fixed.append(kernel.firmware.acpi_override)
    for entry in fixed:
        _take_present(
            kernel, pages_of(entry.start), pages_of(entry.end + PAGE_SIZE_BYTES - 1), taken
        )


def _take_present(kernel: Kernel, start: int, end: int, taken: RangeSet) -> None:
    for region in kernel.regions:
        low, high = max(start, region.start_pfn), min(end, region.end_pfn)
        if low < high:
            taken.add(low, high)


def _reserve_memmap(kernel: Kernel, node: NodeId, taken: RangeSet) -> None:
    """Place a node's memory map, and its share of what starting takes."""
    own = [region for region in kernel.regions if region.node == node]
    sections = RangeSet()
    for region in own:
        sections.add(region.start_pfn // PAGES_PER_SECTION, -(-region.end_pfn // PAGES_PER_SECTION))
    wanted = sections.total * MEMMAP_PAGES_PER_SECTION
    wanted += _HIGHEST_NODE_PAGES if own[-1] is kernel.regions[-1] else _NODE_PAGES
    home = None
    for low, high in _free_from_the_top(kernel, node, taken):
        start = max(low, high - wanted)
        taken.add(start, high)
        wanted -= high - start
        home = start // kernel.pages_per_block
        if wanted == 0:
            break
    if home is not None:
        for run in sections:
            kernel.page_tables.memmap_home.fill(run.start, run.end, home)


def _reserve_bounce_buffer(kernel: Kernel, taken: RangeSet) -> None:
    """Place the bounce buffer as high below 4 GiB as there is room."""
    windows = [affinity.range.end for affinity in kernel.firmware.affinities]
    if pages_of(max([0, *windows])) <= _FOUR_GIB_PFN >= kernel.max_pfn:
        return
    for region in reversed(kernel.regions):
        if region.start_pfn >= _FOUR_GIB_PFN or _avoided(kernel, region):
            continue
        for low, high in _gaps(kernel, region, taken):
            top = min(high, _FOUR_GIB_PFN)
            if top - low >= _BOUNCE_PAGES:
                taken.add(top - _BOUNCE_PAGES, top)
                return


def _avoided(kernel: Kernel, region: Region) -> bool:
    """Whether early allocations keep off a range, because it is to be movable."""
    return region.hotpluggable and kernel.settings.movable_node


def _free_from_the_top(kernel: Kernel, node: NodeId, taken: RangeSet) -> Iterator[tuple[int, int]]:
    """Free ranges in the order in which ``memblock_alloc_try_nid()`` would use them."""
    usable = [region for region in kernel.regions if not _avoided(kernel, region)]
    own = [region for region in usable if region.node == node]
    others = [region for region in usable if region.node != node]
    for region in (*reversed(own), *reversed(others)):
        yield from _gaps(kernel, region, taken)


def _gaps(kernel: Kernel, region: Region, taken: RangeSet) -> Iterator[tuple[int, int]]:
    """What is free in a range while booting, from the top; the initrd lies there until later."""
    free = RangeSet([(region.start_pfn, region.end_pfn, True)])
    for run in taken:
        free.clear(run.start, run.end)
    for part in kernel.firmware.ramdisk:
        free.clear(pages_of(part.start), pages_of(part.end + PAGE_SIZE_BYTES - 1))
    yield from sorted(((run.start, run.end) for run in free), reverse=True)


def _host(kernel: Kernel, taken: RangeSet) -> None:
    """Count by block; whole blocks in a row are filled at once."""
    per_block = kernel.pages_per_block
    for start, end, _ in taken:
        first, last = -(-start // per_block), end // per_block
        if first < last:
            kernel.hosted.fill(first, last, per_block)
        for block in sorted({start // per_block, (end - 1) // per_block}):
            if not first <= block < last:
                low, high = max(start, block * per_block), min(end, (block + 1) * per_block)
                kernel.hosted.fill(block, block + 1, (kernel.hosted.get(block) or 0) + high - low)


def _map_directly(kernel: Kernel) -> None:
    """Enter boot memory into the direct map, 2 MiB and 1 GiB at a time.

    The tables lie among what the highest node loses; a block of its memory map
    stands for them.
    """
    home = kernel.page_tables.memmap_home.get(0) or 0
    for region in kernel.regions:
        start = region.start_pfn * PAGE_SIZE_BYTES
        end = region.end_pfn * PAGE_SIZE_BYTES
        low, high = -(-start // (2 * MIB)) * 2 * MIB, end // (2 * MIB) * 2 * MIB
        if low < high:
            mapped = PhysRange(start=low, end=high)
            for table in kernel.page_tables.tables_for(mapped):
                kernel.page_tables.tables[table] = home
            kernel.page_tables.map_direct(mapped)
