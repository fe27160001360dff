"""Which page frames of a zone are there: what it links, less the holes in boot memory."""

from memhp.core.words import ZoneType
from memhp.model.kernel import Kernel
from memhp.model.runs import RangeSet
from memhp.model.zones import Zone


def present_ranges(kernel: Kernel, zone: Zone) -> RangeSet:
    """The frames of a zone that are there, holes in boot memory left out."""
    present = RangeSet()
    per_block = kernel.pages_per_block
    for linked in zone.linked:
        early = RangeSet()
        for run in kernel.blocks.within(linked.start // per_block, -(-linked.end // per_block)):
            low = max(linked.start, kernel.block_pfn(run.start))
            high = min(linked.end, kernel.block_pfn(run.end))
            (early if run.value.early else present).add(low, high)
        for part in early:
            for region in kernel.regions:
                low, high = max(part.start, region.start_pfn), min(part.end, region.end_pfn)
                if low < high and region.node == zone.node and _own(kernel, zone, region.mirrored):
                    present.add(low, high)
    return present


def _own(kernel: Kernel, zone: Zone, mirrored: bool) -> bool:  # noqa: FBT001
    """With mirrored memory Normal and Movable share a span (``zone_absent_pages_in_node()``)."""
    if not kernel.line.kernelcore_mirror or kernel.line.movable_node:
        return True
    if not kernel.zone(zone.node, ZoneType.MOVABLE).populated:
        return True
    return mirrored == (zone.zone is not ZoneType.MOVABLE)
