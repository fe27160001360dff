"""Which zone a block gets when it comes online.

Source: ``zone_for_pfn_range()``, ``default_kernel_zone_for_pfn()``,
``default_zone_for_pfn()``, ``auto_movable_zone_for_pfn()``.
"""

from collections.abc import Iterable

from memhp.core.geometry import PAGES_PER_SECTION, NodeId, round_down
from memhp.core.words import BlockState, OnlinePolicy, OnlineType, ZoneType
from memhp.model.blocks import Block, MemoryGroup
from memhp.model.kernel import Kernel


def zone_for(kernel: Kernel, number: int, block: Block, online_type: OnlineType) -> ZoneType:
    """Choose the zone for a block; ``OFFLINE`` counts as plain ``online``."""
    start, nr_pages = kernel.block_pfn(number), kernel.pages_per_block
    if online_type is OnlineType.ONLINE_KERNEL:
        return kernel_zone_for(kernel, block.node, start, nr_pages)
    if online_type is OnlineType.ONLINE_MOVABLE:
        return ZoneType.MOVABLE
    if kernel.settings.treat_as_movable and not block.early:
        return ZoneType.MOVABLE
    if kernel.settings.online_policy is OnlinePolicy.AUTO_MOVABLE:
        return _auto_movable(kernel, block, start, nr_pages)
    return _contiguous(kernel, block.node, start, nr_pages)


def valid_zones(kernel: Kernel, number: int, block: Block) -> tuple[str, ...]:
    """The words of ``valid_zones`` (``valid_zones_show()``).

    An online block has one zone or ``none``; any other shows what plain
    ``online`` would choose, then what the other words would.
    """
    if block.state is BlockState.ONLINE:
        return (block.zone.value if block.zone is not None else "none",)
    default = zone_for(kernel, number, block, OnlineType.ONLINE)
    words = (
        default,
        *(
            zone_for(kernel, number, block, word)
            for word in (OnlineType.ONLINE_KERNEL, OnlineType.ONLINE_MOVABLE)
        ),
    )
    return tuple(word.value for index, word in enumerate(words) if index == 0 or word != default)


def kernel_zone_for(kernel: Kernel, node: NodeId, start: int, nr_pages: int) -> ZoneType:
    """The kernel zone for a range: DMA or DMA32 where their spans reach it, else Normal."""
    for zone in (ZoneType.DMA, ZoneType.DMA32):
        if kernel.zone(node, zone).intersects(start, nr_pages):
            return zone
    return ZoneType.NORMAL


def _contiguous(kernel: Kernel, node: NodeId, start: int, nr_pages: int) -> ZoneType:
    """``contig-zones``: the zone that is there already, where there is only one."""
    kernel_zone = kernel_zone_for(kernel, node, start, nr_pages)
    in_kernel = kernel.zone(node, kernel_zone).intersects(start, nr_pages)
    in_movable = kernel.zone(node, ZoneType.MOVABLE).intersects(start, nr_pages)
    if in_kernel != in_movable:
        return kernel_zone if in_kernel else ZoneType.MOVABLE
    return ZoneType.MOVABLE if kernel.settings.movable_node else kernel_zone


def _auto_movable(kernel: Kernel, block: Block, start: int, nr_pages: int) -> ZoneType:
    """``auto-movable``: movable while the ratio to the kernel's boot memory allows it.

    What the kernel zone falls back to is asked for the whole device, as the
    kernel does it.
    """
    if kernel.settings.auto_movable_ratio == 0:
        return kernel_zone_for(kernel, block.node, start, nr_pages)
    group = kernel.groups.get(block.group) if block.group is not None else None
    done, most, all_movable = 0, nr_pages, True
    if group is not None and not group.is_dynamic:
        most, done = group.max_pages, group.present_movable
        all_movable = group.present_kernel == 0
    elif group is not None and group.unit_pages != nr_pages:
        most = group.unit_pages
        start = round_down(start, most)
        done, all_movable = _movable_in_unit(kernel, start, most)
    if not all_movable:
        return kernel_zone_for(kernel, block.node, start, nr_pages)
    needed = most - done
    everywhere = _fits(kernel, None, group, needed)
    if everywhere and kernel.settings.auto_movable_numa_aware:
        everywhere = _fits(kernel, block.node, group, needed)
    return ZoneType.MOVABLE if everywhere else kernel_zone_for(kernel, block.node, start, needed)


def _movable_in_unit(kernel: Kernel, start: int, unit_pages: int) -> tuple[int, bool]:
    """Count a virtio-mem unit's movable pages; false where any part is a kernel zone's."""
    first = start // kernel.pages_per_block
    done = 0
    for number in range(first, first + unit_pages // kernel.pages_per_block):
        block = kernel.blocks.get(number)
        if block is None or block.state is not BlockState.ONLINE:
            continue
        if block.zone is not ZoneType.MOVABLE:
            return done, False
        done += kernel.pages_per_block // PAGES_PER_SECTION * PAGES_PER_SECTION
    return done, True


def _fits(kernel: Kernel, node: NodeId | None, group: MemoryGroup | None, nr_pages: int) -> bool:
    """Whether so many more movable pages keep the ratio, on one node or on all."""
    ratio = kernel.settings.auto_movable_ratio
    early = movable = 0
    for zone in kernel.populated_zones():
        if node is not None and zone.node != node:
            continue
        if zone.zone is ZoneType.MOVABLE:
            movable += zone.present
        else:
            early += zone.present_early
    required, elsewhere = _other_dynamic_groups(kernel.groups.values(), node, group, ratio)
    if early <= required:
        return False
    early -= required
    movable -= elsewhere
    if group is not None and group.is_dynamic:
        early += group.present_kernel
    return movable + nr_pages <= ratio * early // 100


def _other_dynamic_groups(
    groups: Iterable[MemoryGroup], node: NodeId | None, own: MemoryGroup | None, ratio: int
) -> tuple[int, int]:
    """What other virtio-mem devices need of the kernel's memory, and their movable pages."""
    required = movable = 0
    for group in groups:
        if group is own or not group.is_dynamic or (node is not None and group.node != node):
            continue
        required += max(0, group.present_movable * 100 // ratio - group.present_kernel)
        movable += group.present_movable
    return required, movable
