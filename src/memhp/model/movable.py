"""Where ``ZONE_MOVABLE`` begins on each node at boot.

Source: ``find_zone_movable_pfns_for_nodes()``; the rules in order of
precedence are ``movable_node``, ``kernelcore=mirror``, and the amounts of
``kernelcore=`` and ``movablecore=`` spread over the nodes.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from memhp.core.command_line import CommandLine
from memhp.core.geometry import GIB, MAX_ORDER_NR_PAGES, NodeId, pages_of, round_up
from memhp.model.memblock import Region

_FOUR_GIB_PFN = pages_of(4 * GIB)
Starts = Mapping[NodeId, int]
"""The first page frame of ``ZONE_MOVABLE`` on each node that has one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MovableRules:
    """The kernel's differences in how it reads the command line."""

    mirror_needs_a_mirrored_range: bool
    movablecore_acpi: bool


def movable_starts(
    regions: Sequence[Region], line: CommandLine, usable_start_pfn: int, rules: MovableRules
) -> Starts:
    """Find where ``ZONE_MOVABLE`` begins on each node.

    ``usable_start_pfn`` is the lowest possible frame of the highest kernel
    zone that the machine has: ``ZONE_MOVABLE`` takes only from there.
    """
    if line.movable_node or (line.movablecore_acpi and rules.movablecore_acpi):
        return _aligned(_lowest(r for r in regions if r.hotpluggable), regions)
    if line.kernelcore_mirror:
        if rules.mirror_needs_a_mirrored_range and not any(r.mirrored for r in regions):
            return {}
        unmirrored = (r for r in regions if not r.mirrored and r.start_pfn >= _FOUR_GIB_PFN)
        return _aligned(_lowest(unmirrored), regions)
    required = _required_kernelcore(regions, line)
    if required is None:
        return {}
    return _aligned(_spread(regions, required, usable_start_pfn), regions)


def _lowest(regions: Iterable[Region]) -> dict[NodeId, int]:
    starts: dict[NodeId, int] = {}
    for region in regions:
        starts[region.node] = min(region.start_pfn, starts.get(region.node, region.start_pfn))
    return starts


def _required_kernelcore(regions: Sequence[Region], line: CommandLine) -> int | None:
    """How many pages must stay with the kernel; ``None`` where no zone is made."""
    total = sum(region.nr_pages for region in regions)
    kernel, movable = line.kernelcore_pages, line.movablecore_pages
    if line.kernelcore_percent:
        kernel = total * 100 * line.kernelcore_percent // 10000
    if line.movablecore_percent:
        movable = total * 100 * line.movablecore_percent // 10000
    if movable:
        movable = min(total, round_up(movable, MAX_ORDER_NR_PAGES))
        kernel = max(kernel, total - movable)
    if kernel == 0 or kernel >= total:
        return None
    return kernel


def _spread(regions: Sequence[Region], required: int, usable_start_pfn: int) -> dict[NodeId, int]:
    """Spread the kernel's pages over the nodes, in rounds, one node less each time."""
    nodes = sorted({region.node for region in regions})
    starts = dict.fromkeys(nodes, 0)
    usable_nodes = len(nodes)
    while True:
        share = required // usable_nodes
        for node in nodes:
            if required < share:
                share = required // usable_nodes
            own = [region for region in regions if region.node == node]
            starts[node], required = _take(own, starts[node], share, required, usable_start_pfn)
        usable_nodes -= 1
        if usable_nodes == 0 or required <= usable_nodes:
            return starts


def _take(
    regions: Sequence[Region], movable_start: int, share: int, required: int, usable_start: int
) -> tuple[int, int]:
    """Give one node's share to the kernel; returns the new start and what is left to find."""
    remaining = share
    for region in regions:
        start, end = max(region.start_pfn, movable_start), region.end_pfn
        if start >= end:
            continue
        if start < usable_start:
            below = min(end, usable_start) - start
            remaining -= min(below, remaining)
            required -= min(below, required)
            if end <= usable_start:
                movable_start = end
                continue
            start = usable_start
        taken = min(end - start, remaining)
        movable_start = start + taken
        required -= min(required, taken)
        remaining -= taken
        if remaining == 0:
            break
    return movable_start, required


def _aligned(starts: Mapping[NodeId, int], regions: Sequence[Region]) -> Starts:
    """Align each start to the largest buddy chunk; none where it reaches the node's end."""
    ends = {region.node: region.end_pfn for region in regions}
    aligned = {node: round_up(pfn, MAX_ORDER_NR_PAGES) for node, pfn in starts.items()}
    return {node: pfn for node, pfn in aligned.items() if 0 < pfn < ends[node]}
