"""What the kernel keeps for itself while it boots, and in which blocks it lies.

``memblock_alloc()`` gives memory out from the top of a node down, and with
``movable_node`` from just above the kernel image up and never on a node that
is to be movable.

Model: the memory map of each node's pages, the kernel image and the first MiB
are counted; what drivers take while they start is put down as one share.
"""

from collections.abc import Iterator

from memhp.core.geometry import (
    MIB,
    PAGE_SIZE_BYTES,
    PAGES_PER_SECTION,
    NodeId,
    pages_of,
)
from memhp.core.ranges import PhysRange
from memhp.model.kernel import Kernel
from memhp.model.page_tables import MEMMAP_PAGES_PER_SECTION
from memhp.model.runs import RangeSet

_STARTUP_SHARE = 128
"""One page in so many goes to drivers and caches while they start (under 1 %)."""


def reserve_boot_pages(kernel: Kernel) -> None:
    """Take what booting takes out of ``managed``, block by block, and map boot memory."""
    taken = RangeSet()
    _reserve_fixed(kernel, taken)
    for node in sorted({region.node for region in kernel.regions}):
        _reserve_memmap(kernel, node, taken)
    for start, end, _ in taken:
        for zone in list(kernel.populated_zones()):
            zone.managed -= zone.linked.count(max(start, zone.start_pfn), min(end, zone.end_pfn))
    _host(kernel, taken)
    _map_directly(kernel)


def _reserve_fixed(kernel: Kernel, taken: RangeSet) -> None:
    fixed = [PhysRange(start=PAGE_SIZE_BYTES, end=MIB), *kernel.firmware.kernel_image]
    if kernel.firmware.acpi_override is not None:
        fixed.append(kernel.firmware.acpi_override)
    for entry in fixed:
        _take_present(kernel, pages_of(entry.start), pages_of(entry.end + PAGE_SIZE_BYTES - 1), taken)


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
        sections.add(
            region.start_pfn // PAGES_PER_SECTION, -(-region.end_pfn // PAGES_PER_SECTION)
        )
    wanted = sections.total * MEMMAP_PAGES_PER_SECTION
    wanted += sum(region.nr_pages for region in own) // _STARTUP_SHARE
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


def _free_from_the_top(
    kernel: Kernel, node: NodeId, taken: RangeSet
) -> Iterator[tuple[int, int]]:
    """Free ranges in the order in which ``memblock_alloc_try_nid()`` would use them."""
    usable = [
        region
        for region in kernel.regions
        if not (region.hotpluggable and kernel.settings.movable_node)
    ]
    own = [region for region in usable if region.node == node]
    others = [region for region in usable if region.node != node]
    for region in (*reversed(own), *reversed(others)):
        free = RangeSet([(region.start_pfn, region.end_pfn, True)])
        for run in taken:
            free.clear(run.start, run.end)
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
                kernel.hosted.fill(
                    block, block + 1, (kernel.hosted.get(block) or 0) + high - low
                )


def _map_directly(kernel: Kernel) -> None:
    """Enter boot memory into the direct map, 2 MiB and 1 GiB at a time."""
    for region in kernel.regions:
        start = region.start_pfn * PAGE_SIZE_BYTES
        end = region.end_pfn * PAGE_SIZE_BYTES
        low, high = -(-start // (2 * MIB)) * 2 * MIB, end // (2 * MIB) * 2 * MIB
        if low < high:
            kernel.page_tables.map_direct(PhysRange(start=low, end=high))

