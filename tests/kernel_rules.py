"""What holds of the modelled kernel at every stop of every change, by recounting it."""

from collections import Counter
from collections.abc import Iterator

from memhp.core.geometry import PAGES_PER_SECTION, SECTION_SIZE_BYTES, pages_of
from memhp.core.words import BlockState, ZoneType
from memhp.model.kernel import Kernel
from memhp.model.virtio_mem_hooks import unplugged_pages
from memhp.model.zones import Zone

Key = tuple[int, ZoneType]


def broken_rules(kernel: Kernel) -> list[str]:
    """Every rule that does not hold, in words; an empty list is what a test wants."""
    return [
        *_spans(kernel),
        *_present_pages(kernel),
        *_managed_pages(kernel),
        *_sections(kernel),
        *_groups(kernel),
        *_nodes(kernel),
        *_resources(kernel),
    ]


def _spans(kernel: Kernel) -> Iterator[str]:
    for zone in kernel.zones.values():
        name = f"{zone.zone} of node {zone.node}"
        for run in zone.linked:
            inside = zone.start_pfn <= run.start and run.end <= zone.end_pfn
            if not inside and not _boot_hole(kernel, zone, run.start, run.end):
                yield f"{name} does not span {run.start:#x}-{run.end:#x}"
        if zone.populated and not zone.spanned:
            yield f"{name} has pages and no span"
        if zone.present > zone.spanned:
            yield f"{name} has more pages than it spans"
        if zone.zone is ZoneType.MOVABLE and zone.present_early > zone.present:
            yield f"{name} has more early pages than pages"


def _boot_hole(kernel: Kernel, zone: Zone, start: int, end: int) -> bool:
    """A hole in boot memory names a zone that need not span it (``memmap_init()``)."""
    for low, high in ((start, min(end, zone.start_pfn)), (max(start, zone.end_pfn), end)):
        if low < high and any(r.start_pfn < high and low < r.end_pfn for r in kernel.regions):
            return False
    return True


def _present_pages(kernel: Kernel) -> Iterator[str]:
    counted: Counter[Key] = Counter()
    for number in kernel.blocks.numbers():
        for key, pages in _pages_in_zones(kernel, number):
            counted[key] += pages
    for key, zone in kernel.zones.items():
        if zone.present != counted[key]:
            yield f"{key[1]} of node {key[0]} has {zone.present} pages, counted {counted[key]}"


def _pages_in_zones(kernel: Kernel, number: int) -> Iterator[tuple[Key, int]]:
    """What an online block gives to which zone."""
    block = kernel.blocks.get(number)
    assert block is not None
    if block.state is BlockState.OFFLINE:
        return
    start, end = kernel.block_pfn(number), kernel.block_pfn(number + 1)
    if not block.early:
        assert block.zone is not None
        yield (block.node, block.zone), end - start
        return
    for region in kernel.regions:
        for zone in list(kernel.zones.values()):
            if zone.node != region.node or block.zone not in {None, zone.zone}:
                continue
            low = max(start, region.start_pfn, zone.start_pfn)
            high = min(end, region.end_pfn, zone.end_pfn)
            if low < high:
                yield (zone.node, zone.zone), high - low


def _managed_pages(kernel: Kernel) -> Iterator[str]:
    for (node, name), zone in kernel.zones.items():
        if not 0 <= zone.kernel_pages <= zone.managed <= zone.present:
            yield (
                f"{name} of node {node}: {zone.kernel_pages} kernel pages, "
                f"{zone.managed} managed, {zone.present} present"
            )
        if zone.present_early == 0 and zone.present:
            mine = [
                number
                for number in kernel.blocks.numbers()
                if (b := kernel.blocks.get(number)) is not None
                and (b.node, b.zone) == (node, name)
                and b.state is not BlockState.OFFLINE
            ]
            held = sum(_not_managed(kernel, number) for number in mine)
            if zone.managed != zone.present - held:
                yield f"{name} of node {node} manages {zone.managed} of {zone.present - held}"


def _not_managed(kernel: Kernel, number: int) -> int:
    block = kernel.blocks.get(number)
    assert block is not None
    return block.altmap_pages + unplugged_pages(kernel, number)


def _sections(kernel: Kernel) -> Iterator[str]:
    """A memory map for every present section, once, and for no other."""
    homes = kernel.page_tables.memmap_home
    for run in kernel.blocks:
        if run.value.early:
            continue
        low = run.start * kernel.pages_per_block // PAGES_PER_SECTION
        high = run.end * kernel.pages_per_block // PAGES_PER_SECTION
        if homes.count(low, high) != high - low:
            yield f"blocks {run.start}-{run.end - 1} have sections without a memory map"
    present = sum(
        1
        for section in homes.numbers()
        if section * SECTION_SIZE_BYTES // kernel.block_size_bytes in kernel.blocks
    )
    if present != homes.total:
        yield f"{homes.total - present} sections have a memory map and no block"


def _groups(kernel: Kernel) -> Iterator[str]:
    counted: Counter[tuple[int, bool]] = Counter()
    for run in kernel.blocks:
        block = run.value
        if block.group is None:
            continue
        if block.group not in kernel.groups:
            yield f"blocks {run.start}-{run.end - 1} are of a group that is not there"
        elif block.state is not BlockState.OFFLINE:
            pages = (run.end - run.start) * kernel.pages_per_block
            counted[block.group, block.zone is ZoneType.MOVABLE] += pages
    for number, group in kernel.groups.items():
        has = (group.present_kernel, group.present_movable)
        if has != (counted[number, False], counted[number, True]):
            yield f"group {number} counts {has}"


def _nodes(kernel: Kernel) -> Iterator[str]:
    wanted = {run.value.node for run in kernel.blocks} | set(kernel.firmware.cpu_nodes)
    for node in sorted(wanted - kernel.online_nodes):
        yield f"node {node} has blocks or processors and is not online"


def _resources(kernel: Kernel) -> Iterator[str]:
    for run in kernel.blocks:
        if run.value.early:
            continue
        for number in range(run.start, run.end):
            where = kernel.block_range(number)
            if kernel.iomem.ram_pages(where) != pages_of(where.size_bytes):
                yield f"memory{number} is not wholly System RAM"
