"""Where the kernel puts pages of its own: memory maps and page tables.

Until a page of the machine is touched, a block counts how many pages of the
kernel lie in it; then they are pages like any other. Boot memory is given out
from the top of a node down, as ``memblock_alloc()`` does; what comes later
goes into the lowest block of the nearest node's kernel zones that has room.
"""

import errno
from collections.abc import Iterator, Sequence

from memhp.core.geometry import (
    PAGES_PER_PAGEBLOCK,
    SECTION_SIZE_BYTES,
    NodeId,
    round_up,
)
from memhp.core.ranges import PhysRange
from memhp.core.words import BlockState, ZoneType
from memhp.model.kernel import Kernel
from memhp.model.page_tables import MEMMAP_PAGES_PER_SECTION, Structure, Table
from memhp.model.steps import KernelRefusal
from memhp.model.zones import Zone

_KERNEL_ZONES = (ZoneType.NORMAL, ZoneType.DMA32, ZoneType.DMA)


def nodes_by_distance(kernel: Kernel, node: NodeId) -> list[NodeId]:
    """The node itself, then the others, the nearest first (``find_next_best_node()``)."""
    return sorted(kernel.online_nodes | {node}, key=lambda n: (distance(kernel, node, n), n))


def distance(kernel: Kernel, one: NodeId, other: NodeId) -> int:
    """The SLIT's distance; 10 within a node and 20 between nodes where there is none."""
    table = kernel.firmware.distances
    if one < len(table) and other < len(table):
        return table[one][other]
    return 10 if one == other else 20


def map_memory(kernel: Kernel, added: PhysRange, node: NodeId) -> None:
    """Give a range its direct map and memory map out of memory that is there.

    Raises ``KernelRefusal`` (ENOMEM), and then nothing has changed.
    """
    tables = kernel.page_tables.tables_for(added)
    sections = range(added.start // SECTION_SIZE_BYTES, added.end // SECTION_SIZE_BYTES)
    _put(kernel, tables, sections, node)
    kernel.page_tables.map_direct(added)


def _put(kernel: Kernel, tables: Sequence[Table], sections: range, node: NodeId) -> None:
    """Find a place for structures, all or none of them; raises ``KernelRefusal`` (ENOMEM)."""
    if kernel.pages is not None:
        _build(kernel, [*tables, *sections], node)
        return
    needed = len(sections) * MEMMAP_PAGES_PER_SECTION + len(tables)
    if sum(_free(zone) for zone in _allowed_zones(kernel, node)) < needed:
        raise KernelRefusal(errno.ENOMEM, "no room for the memory map")
    for table in tables:
        kernel.page_tables.tables[table] = next(_take(kernel, node, 1, 1))[0]
    section = sections.start
    for block, count in _take(kernel, node, len(sections), MEMMAP_PAGES_PER_SECTION):
        kernel.page_tables.memmap_home.fill(section, section + count, block)
        section += count


def map_on_itself(kernel: Kernel, added: PhysRange, node: NodeId) -> None:
    """Map a range whose memory map lies at the start of each of its blocks."""
    _build_tables(kernel, added, node)
    per_block = kernel.block_size_bytes // SECTION_SIZE_BYTES
    for block in kernel.blocks_of(added):
        kernel.page_tables.memmap_home.fill(block * per_block, (block + 1) * per_block, block)


def map_on_node(kernel: Kernel, added: PhysRange) -> int:
    """Map a range whose memory map and page tables lie at its start; gives their pages.

    Whole pageblocks are taken: what is left of the last one is lost.
    """
    tables = kernel.page_tables.tables_for(added)
    sections = range(added.start // SECTION_SIZE_BYTES, added.end // SECTION_SIZE_BYTES)
    first, per_block = kernel.blocks_of(added).start, kernel.pages_per_block
    for place, section in enumerate(sections):
        home = first + place * MEMMAP_PAGES_PER_SECTION // per_block
        kernel.page_tables.memmap_home.fill(section, section + 1, home)
    nr_pages = len(sections) * MEMMAP_PAGES_PER_SECTION + len(tables)
    for table in tables:
        kernel.page_tables.tables[table] = first + (nr_pages - 1) // per_block
    kernel.page_tables.map_direct(added)
    return round_up(nr_pages, PAGES_PER_PAGEBLOCK)


def move_structures(kernel: Kernel, block: int, node: NodeId) -> None:
    """Move memory maps and page tables out of the block that hosts them.

    Raises ``KernelRefusal`` (ENOMEM), and then nothing has changed.
    """
    tables = [table for table, home in kernel.page_tables.tables.items() if home == block]
    for run in [run for run in kernel.page_tables.memmap_home if run.value == block]:
        _put(kernel, tables, range(run.start, run.end), node)
        tables = []
    _put(kernel, tables, range(0), node)


def _build_tables(kernel: Kernel, added: PhysRange, node: NodeId) -> None:
    """Enter a range into the direct map, the tables for it in ordinary memory."""
    tables = kernel.page_tables.tables_for(added)
    if kernel.pages is not None:
        _build(kernel, tables, node)
    else:
        for table in tables:
            kernel.page_tables.tables[table] = next(_take(kernel, node, 1, 1))[0]
    kernel.page_tables.map_direct(added)


def _build(kernel: Kernel, structures: Sequence[Structure], node: NodeId) -> None:
    """Allocate pages for structures, all or none of them."""
    if kernel.pages is None:
        raise AssertionError("no page of this machine was ever touched")
    homes: dict[Structure, int] = {}
    for structure in structures:
        home = kernel.pages.build(kernel, structure, node)
        if home is None:
            for done in homes:
                kernel.pages.unbuild(kernel, done)
            raise KernelRefusal(errno.ENOMEM, "no room for the memory map")
        homes[structure] = home
    for structure, home in homes.items():
        kernel.page_tables.set_home(structure, home)


def unmap_memory(kernel: Kernel, removed: PhysRange) -> None:
    """Take direct map and memory map of a range away and free what they took."""
    first = removed.start // SECTION_SIZE_BYTES
    last = removed.end // SECTION_SIZE_BYTES
    own = kernel.blocks_of(removed)
    for run in list(kernel.page_tables.memmap_home.within(first, last)):
        if run.value not in own:
            nr_sections = run.end - run.start
            if kernel.pages is not None:
                nr_sections -= sum(
                    kernel.pages.unbuild(kernel, section) for section in range(run.start, run.end)
                )
            _give_back(kernel, run.value, nr_sections * MEMMAP_PAGES_PER_SECTION)
    kernel.page_tables.memmap_home.clear(first, last)
    kernel.page_tables.unmap_direct(removed)
    for table in kernel.page_tables.tables_without(removed):
        home = kernel.page_tables.tables.pop(table)
        in_pages = kernel.pages is not None and kernel.pages.unbuild(kernel, table)
        if home not in own and not in_pages:
            _give_back(kernel, home, 1)


def zone_of_block(kernel: Kernel, block: int) -> Zone | None:
    """The zone that manages a block; none while it is offline or has several."""
    record = kernel.blocks.get(block)
    if record is None or record.zone is None:
        return None
    return kernel.zone(record.node, record.zone)


def _free(zone: Zone) -> int:
    return zone.managed - zone.kernel_pages


def _allowed_zones(kernel: Kernel, node: NodeId) -> Iterator[Zone]:
    """The zonelist of a ``GFP_KERNEL`` request."""
    for near in nodes_by_distance(kernel, node):
        for zone in _KERNEL_ZONES:
            if kernel.zone(near, zone).populated:
                yield kernel.zone(near, zone)


def _take(kernel: Kernel, node: NodeId, nr_chunks: int, chunk: int) -> Iterator[tuple[int, int]]:
    """Take chunks of pages, nearest first; yields ``(block, how many chunks)``.

    Room was checked before. What finds no single block with room (a boot block
    of several zones has it) is put down to the zone's first block.
    """
    for zone in _allowed_zones(kernel, node):
        if nr_chunks == 0:
            return
        taken = 0
        for block, room in _rooms(kernel, zone):
            count = min(nr_chunks - taken, room // chunk, _free(zone) // chunk)
            if count:
                _host(kernel, zone, block, count * chunk)
                taken += count
                yield block, count
            if taken == nr_chunks:
                break
        nr_chunks -= taken
    if nr_chunks:
        zone = next(zone for zone in _allowed_zones(kernel, node))
        block = zone.start_pfn // kernel.pages_per_block
        _host(kernel, zone, block, nr_chunks * chunk)
        yield block, nr_chunks


def _rooms(kernel: Kernel, zone: Zone) -> Iterator[tuple[int, int]]:
    """The zone's online blocks from the lowest up, each with the pages it has room for."""
    if not zone.spanned:
        return
    low = zone.start_pfn // kernel.pages_per_block
    high = -(-zone.end_pfn // kernel.pages_per_block)
    for run in list(kernel.blocks.within(low, high)):
        mine = run.value.zone is zone.zone and run.value.node == zone.node
        if mine and run.value.state is BlockState.ONLINE:
            yield from _rooms_in_run(kernel, run.start, run.end, run.value.altmap_pages)


def _rooms_in_run(
    kernel: Kernel, start: int, end: int, altmap_pages: int
) -> Iterator[tuple[int, int]]:
    capacity = kernel.pages_per_block - altmap_pages
    block = start
    while block < end:
        used = next(kernel.hosted.within(block, end), None)
        if used is not None and used.start == block and used.value >= capacity:
            block = used.end
            continue
        here = used.value if used is not None and used.start == block else 0
        yield block, capacity - here
        block += 1


def _host(kernel: Kernel, zone: Zone, block: int, nr_pages: int) -> None:
    zone.kernel_pages += nr_pages
    kernel.hosted.fill(block, block + 1, (kernel.hosted.get(block) or 0) + nr_pages)


def _give_back(kernel: Kernel, block: int, nr_pages: int) -> None:
    """Free pages; those that a boot block gave before the allocator ran join ``managed``."""
    if nr_pages == 0:
        return
    left = (kernel.hosted.get(block) or 0) - nr_pages
    if left > 0:
        kernel.hosted.fill(block, block + 1, left)
    else:
        kernel.hosted.clear(block, block + 1)
    zone = zone_of_block(kernel, block)
    if kernel.pages is not None:
        # What has pages of its own was freed there: these are boot memory's.
        _free_boot_pages(kernel, block, nr_pages)
        return
    if zone is None:
        return
    freed_boot_pages = max(0, nr_pages - zone.kernel_pages)
    zone.kernel_pages -= nr_pages - freed_boot_pages
    zone.managed += freed_boot_pages


def _free_boot_pages(kernel: Kernel, block: int, nr_pages: int) -> None:
    """Give the allocator pages that booting kept, from a block on (``free_map_bootmem()``)."""
    first = kernel.block_pfn(block)
    for run in list(kernel.reserved.within(first, kernel.max_pfn)):
        part = min(nr_pages, run.end - run.start)
        nr_pages -= part
        kernel.reserved.clear(run.start, run.start + part)
        if kernel.pages is not None and part:
            node, zone = kernel.pages.release(run.start, run.start + part)
            kernel.zone(node, zone).managed += part
