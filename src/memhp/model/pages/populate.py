"""Frames come to a zone: what is free goes on its lists, the rest is written down.

Model: free memory of a booted machine lies in ascending order on the lists, as
``memblock_free_all()`` leaves it; what drivers took and freed while they
started has not mixed it up.
"""

from memhp.core.geometry import PAGES_PER_PAGEBLOCK, PAGES_PER_SECTION, pages_of, round_up
from memhp.model.kernel import Kernel
from memhp.model.kernel_pages import nodes_by_distance
from memhp.model.pages.area import Area, Marks, batch_size
from memhp.model.pages.frames import (
    FREE_TAIL,
    OFFLINE_PAGE,
    POISONED,
    RESERVED,
    SELF_HOSTED,
)
from memhp.model.pages.migrate_kernel import movable_kinds
from memhp.model.pages.pages import Pages
from memhp.model.pages.words import MAX_ORDER, MigrateType
from memhp.model.runs import RangeSet
from memhp.model.virtio_mem_hooks import device_of
from memhp.model.watermarks import lowmem_reserve, watermarks


def enter(kernel: Kernel, area: Area, start: int, end: int) -> None:
    """Put present frames into a zone's part: what is not free aside, the rest on the lists."""
    frames = area.frames
    first, last = start // PAGES_PER_PAGEBLOCK, -(-end // PAGES_PER_PAGEBLOCK)
    frames.zone[first:last] = area.index
    frames.migratetype[first:last] = MigrateType.MOVABLE
    free = RangeSet([(start, end, True)])
    for low, high, code in _not_free(kernel, start, end):
        frames.state[low:high] = code
        free.clear(low, high)
    for run in free:
        _put_free(area, run.start, run.end)


def refresh(kernel: Kernel, pages: Pages) -> None:
    """Take over marks, per-cpu sizes and zonelists, as after every change of what is online."""
    pages.also_movable = movable_kinds(kernel.settings)
    pages.several_nodes = len(kernel.online_nodes) > 1
    for area in pages.areas:
        zone = kernel.zone(area.node, area.zone)
        area.populated = zone.populated
        marks = watermarks(kernel, zone)
        reserve = lowmem_reserve(kernel, zone)
        area.marks = Marks(minimum=marks.minimum, low=marks.low, high=marks.high, reserve=reserve)
        area.batch = batch_size(zone.managed)
        area.high = max(marks.low // _nr_cpus(kernel, area), 4 * area.batch)
    pages.fallback_order = {
        node: tuple(nodes_by_distance(kernel, node))
        for node in sorted(kernel.online_nodes | set(kernel.possible_nodes))
    }
    pages.rebuild_zonelists()


def _blocks(kernel: Kernel, start: int, end: int) -> tuple[int, int]:
    per_block = kernel.pages_per_block
    return start // per_block, -(-end // per_block)


def _not_free(kernel: Kernel, start: int, end: int) -> list[tuple[int, int, int]]:
    """What of a range is not the allocator's, with what it is."""
    found = [(run.start, run.end, RESERVED) for run in kernel.reserved.within(start, end)]
    for number in range(*_blocks(kernel, start, end)):
        block = kernel.blocks.get(number)
        if block is not None and block.altmap_pages:
            first = kernel.block_pfn(number)
            found.append((first, first + block.altmap_pages, SELF_HOSTED))
        found += _unplugged(kernel, number) if kernel.virtio_mem else []
    found += [(pfn, pfn + 1, POISONED) for pfn in sorted(kernel.poisoned) if start <= pfn < end]
    return [(max(low, start), min(high, end), code) for low, high, code in found if low < end]


def _unplugged(kernel: Kernel, number: int) -> list[tuple[int, int, int]]:
    device = device_of(kernel, number)
    if device is None:
        return []
    size, first = pages_of(device.sub_block_bytes), kernel.block_pfn(number)
    bits = device.plugged[number]
    return [
        (first + place * size, first + (place + 1) * size, OFFLINE_PAGE)
        for place in range(kernel.pages_per_block // size)
        if not bits >> place & 1
    ]


def _put_free(area: Area, start: int, end: int) -> None:
    """Put a free range on the lists, at the tail, in ascending order."""
    low, high = round_up(start, PAGES_PER_SECTION), end // PAGES_PER_SECTION * PAGES_PER_SECTION
    if low >= high:
        _put_chunks(area, start, end)
    else:
        _put_chunks(area, start, low)
        area.largest.push_sections(range(low // PAGES_PER_SECTION, high // PAGES_PER_SECTION))
        _put_chunks(area, high, end)
    area.free += end - start


def _put_chunks(area: Area, start: int, end: int) -> None:
    area.frames.state[start:end] = FREE_TAIL
    while start < end:
        aligned = (start & -start).bit_length() - 1 if start else MAX_ORDER
        order = min(aligned, (end - start).bit_length() - 1, MAX_ORDER)
        area.put(start, order, MigrateType.MOVABLE, tail=True)
        start += 1 << order


def _nr_cpus(kernel: Kernel, area: Area) -> int:
    """Over how many processors the per-cpu pages of a zone are spread (``zone_highsize()``)."""
    counts = kernel.firmware.cpus
    return counts.get(area.node) or sum(counts.values()) or 1
