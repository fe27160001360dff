"""Starting the modelled kernel: from firmware and command line to zones and blocks.

Source: ``free_area_init()``, ``zone_sizes_init()``, ``sparse_init()``,
``memory_dev_init()``, ``probe_memory_block_size()``, ``node_dev_init()``.
"""

from collections.abc import Iterable
from itertools import pairwise
from typing import Final

from memhp.core.command_line import CommandLine
from memhp.core.geometry import (
    GIB,
    MIB,
    PAGES_PER_SECTION,
    SECTION_SIZE_BYTES,
    NodeId,
    bytes_of,
    pages_of,
    round_up,
)
from memhp.core.words import BlockState, ZoneType
from memhp.model.blocks import Block
from memhp.model.boot_pages import reserve_boot_pages
from memhp.model.boot_resources import boot_resources
from memhp.model.firmware import Firmware
from memhp.model.kernel import BOOT_ZONES, Kernel, Proposals, Settings
from memhp.model.memblock import Region, memory_regions
from memhp.model.movable import MovableRules, Starts, movable_starts
from memhp.model.profile import Profile
from memhp.model.runs import RangeSet
from memhp.model.zones import Zone

_DMA_END_PFN: Final = pages_of(16 * MIB)
_DMA32_END_PFN: Final = pages_of(4 * GIB)
_LARGE_BLOCKS_FROM: Final = 64 * GIB
_LARGEST_BLOCK_BYTES: Final = 2 * GIB


def boot(
    firmware: Firmware,
    line: CommandLine,
    profile: Profile,
    *,
    block_size_bytes: int | None = None,
    proposals: Proposals | None = None,
) -> Kernel:
    """Boot a kernel; devices that wait at boot are added by ``bring_up_devices()``.

    ``block_size_bytes`` overrides the rule, as a UV platform does.
    """
    proposals = proposals or Proposals()
    regions = memory_regions(firmware, line)
    max_pfn = regions[-1].end_pfn
    kernel = Kernel(
        profile=profile,
        firmware=firmware,
        line=line,
        proposals=proposals,
        settings=_settings(line, profile, proposals),
        block_size_bytes=block_size_bytes or block_size_for(bytes_of(max_pfn), firmware.hypervisor),
        max_pfn=max_pfn,
        regions=regions,
        possible_nodes=_possible_nodes(firmware, regions),
        online_nodes={region.node for region in regions} | set(firmware.cpu_nodes),
    )
    starts = find_movable_starts(regions, line, profile, proposals)
    mirrored = line.kernelcore_mirror and not line.movable_node
    for node in sorted({region.node for region in regions}):
        _make_zones(kernel, node, starts, mirrored=mirrored)
    _link_pages(kernel, mirrored=mirrored)
    _make_blocks(kernel)
    kernel.iomem = boot_resources(firmware, line)
    reserve_boot_pages(kernel)
    return kernel


def block_size_for(top_address: int, hypervisor: bool) -> int:  # noqa: FBT001
    """Choose the memory block size from the top of the address space.

    Not from the amount of memory: a hole below 4 GiB counts
    (``probe_memory_block_size()``).
    """
    if top_address < _LARGE_BLOCKS_FROM:
        return SECTION_SIZE_BYTES
    if not hypervisor:
        return _LARGEST_BLOCK_BYTES
    size = _LARGEST_BLOCK_BYTES
    while size > SECTION_SIZE_BYTES and top_address % size:
        size //= 2
    return size


def find_movable_starts(
    regions: tuple[Region, ...], line: CommandLine, profile: Profile, proposals: Proposals
) -> Starts:
    """Find where ``ZONE_MOVABLE`` begins on each node of these regions."""
    rules = MovableRules(
        mirror_needs_a_mirrored_range=profile.mirror_needs_a_mirrored_range,
        movablecore_acpi=proposals.movablecore_acpi,
    )
    highest = max(
        (zone for zone, (low, high) in _arch_limits(regions).items() if high > low),
        key=lambda zone: zone.order,
    )
    return movable_starts(regions, line, _arch_limits(regions)[highest][0], rules)


def _settings(line: CommandLine, profile: Profile, proposals: Proposals) -> Settings:
    return Settings(
        auto_online=line.default_state or profile.auto_online,
        online_policy=line.online_policy,
        auto_movable_ratio=line.auto_movable_ratio,
        auto_movable_numa_aware=line.auto_movable_numa_aware,
        memmap_on_memory=line.memmap_on_memory,
        memmap_on_node=proposals.memmap_on_node,
        migrate_vmalloc=proposals.migrate_vmalloc,
        migrate_kernel=proposals.migrate_kernel,
        movable_node=line.movable_node or (line.movablecore_acpi and proposals.movablecore_acpi),
    )


def _possible_nodes(firmware: Firmware, regions: Iterable[Region]) -> tuple[NodeId, ...]:
    return tuple(sorted(set(firmware.possible_nodes) | {region.node for region in regions}))


def _arch_limits(regions: tuple[Region, ...]) -> dict[ZoneType, tuple[int, int]]:
    """``arch_zone_lowest_possible_pfn`` and ``…highest…`` for each kernel zone."""
    max_pfn = regions[-1].end_pfn
    low = regions[0].start_pfn
    limits: dict[ZoneType, tuple[int, int]] = {}
    for zone, end in (
        (ZoneType.DMA, min(_DMA_END_PFN, max_pfn)),
        (ZoneType.DMA32, min(_DMA32_END_PFN, max_pfn)),
        (ZoneType.NORMAL, max_pfn),
    ):
        limits[zone] = (low, max(end, low))
        low = limits[zone][1]
    return limits


def _make_zones(kernel: Kernel, node: NodeId, starts: Starts, *, mirrored: bool) -> None:
    """Size the zones of a node (``calculate_node_totalpages()``)."""
    own = [region for region in kernel.regions if region.node == node]
    node_start, node_end = own[0].start_pfn, own[-1].end_pfn
    limits = _arch_limits(kernel.regions)
    highest = max((z for z in limits if limits[z][1] > limits[z][0]), key=lambda z: z.order)
    movable_start = starts.get(node)
    for zone_type in BOOT_ZONES:
        if zone_type is ZoneType.MOVABLE:
            if movable_start is None:
                continue
            start, end = movable_start, min(node_end, limits[highest][1])
        else:
            start, end = (
                min(max(pfn, limits[zone_type][0]), limits[zone_type][1])
                for pfn in (node_start, node_end)
            )
            start, end = _cut_for_movable(start, end, movable_start, mirrored=mirrored)
        start, end = max(start, node_start), min(end, node_end)
        if start >= end:
            continue
        present = sum(
            max(0, min(end, region.end_pfn) - max(start, region.start_pfn))
            for region in own
            if not _counted_elsewhere(zone_type, region, movable_start, mirrored=mirrored)
        )
        kernel.zones[node, zone_type] = Zone(
            node=node,
            zone=zone_type,
            start_pfn=start,
            spanned=end - start,
            present=present,
            present_early=present,
            managed=present,
        )


def _cut_for_movable(
    start: int, end: int, movable_start: int | None, *, mirrored: bool
) -> tuple[int, int]:
    """``adjust_zone_range_for_zone_movable()`` for a kernel zone."""
    if movable_start is None:
        return start, end
    if not mirrored and start < movable_start < end:
        return start, movable_start
    if start >= movable_start:
        return end, end
    return start, end


def _counted_elsewhere(
    zone: ZoneType, region: Region, movable_start: int | None, *, mirrored: bool
) -> bool:
    """With mirrored memory, Normal and Movable share a span (``zone_absent_pages_in_node()``)."""
    if not mirrored or movable_start is None:
        return False
    if zone is ZoneType.MOVABLE:
        return region.mirrored
    return zone is ZoneType.NORMAL and not region.mirrored


def _link_pages(kernel: Kernel, *, mirrored: bool) -> None:
    """Name a zone in every page structure of boot memory, holes in sections included.

    A hole before a range belongs to that range's zone, what is left of the
    last section to the last one (``memmap_init()``). Of zones that share a span
    each gets its own pages (``overlap_memmap_init()``).
    """
    sections = _present_sections(kernel.regions)
    hole = 0
    zone = None
    for region in kernel.regions:
        movable = kernel.zones.get((region.node, ZoneType.MOVABLE))
        movable_start = None if movable is None else movable.start_pfn
        for zone_type in BOOT_ZONES:
            candidate = kernel.zones.get((region.node, zone_type))
            if candidate is None or not candidate.populated:
                continue
            if _counted_elsewhere(zone_type, region, movable_start, mirrored=mirrored):
                continue
            start = max(region.start_pfn, candidate.start_pfn)
            end = min(region.end_pfn, candidate.end_pfn)
            if start >= end:
                continue
            zone = candidate
            _link(zone, min(hole, start), end, sections)
            hole = end
    if zone is not None:
        _link(zone, hole, round_up(hole, PAGES_PER_SECTION), sections)


def _link(zone: Zone, start: int, end: int, sections: RangeSet) -> None:
    for run in sections.within(start // PAGES_PER_SECTION, round_up(end, PAGES_PER_SECTION)):
        low = max(start, run.start * PAGES_PER_SECTION)
        high = min(end, run.end * PAGES_PER_SECTION)
        if low < high:
            zone.linked.add(low, high)


def _present_sections(regions: Iterable[Region]) -> RangeSet:
    sections = RangeSet()
    for region in regions:
        sections.add(
            region.start_pfn // PAGES_PER_SECTION,
            round_up(region.end_pfn, PAGES_PER_SECTION) // PAGES_PER_SECTION,
        )
    return sections


def _make_blocks(kernel: Kernel) -> None:
    """Make a block wherever a section is present (``add_boot_memory_block()``).

    Runs of whole blocks that lie inside one zone are made at once; a block at
    a border is looked at by itself.
    """
    per_block = kernel.pages_per_block
    for region in kernel.regions:
        first, last = region.start_pfn // per_block, -(-region.end_pfn // per_block)
        borders = {first, last - 1}
        for zone in kernel.zones.values():
            borders |= {zone.start_pfn // per_block, (zone.end_pfn - 1) // per_block}
        edges = sorted({e for b in borders for e in (b, b + 1) if first <= e <= last})
        for low, high in pairwise(edges):
            kernel.blocks.fill(low, high, _boot_block(kernel, low))


def _boot_block(kernel: Kernel, number: int) -> Block:
    """A boot block with its nodes and, where it has only one, its zone.

    Source: ``register_mem_block_under_node_early()``, ``memory_block_add_nid()``,
    ``early_node_zone_for_memory_block()``.
    """
    start = kernel.block_pfn(number)
    end = start + kernel.pages_per_block
    links = tuple(node for node in sorted(kernel.online_nodes) if _owns(kernel, node, start, end))
    zone = None
    if len(links) == 1:
        zones = [
            z.zone
            for z in kernel.node_zones(links[0])
            if z.populated and z.intersects(start, end - start)
        ]
        zone = zones[0] if len(zones) == 1 else None
    return Block(
        state=BlockState.ONLINE,
        node=links[-1] if links else NodeId(0),
        links=links,
        zone=zone,
        early=True,
    )


def _owns(kernel: Kernel, node: NodeId, start: int, end: int) -> bool:
    """Whether a page in present sections of the block is the node's.

    A page in no range counts for the first online node
    (``early_pfn_to_nid()``), if that node's span reaches the block at all.
    """
    own = [region for region in kernel.regions if region.node == node]
    if not own or own[0].start_pfn >= end or own[-1].end_pfn <= start:
        return False
    if any(region.start_pfn < end and region.end_pfn > start for region in own):
        return True
    if node != min(kernel.online_nodes):
        return False
    inside = [r for r in kernel.regions if r.start_pfn < end and r.end_pfn > start]
    covered = sum(min(end, r.end_pfn) - max(start, r.start_pfn) for r in inside)
    present = _present_sections(inside).count(start // PAGES_PER_SECTION, end // PAGES_PER_SECTION)
    return covered < present * PAGES_PER_SECTION
