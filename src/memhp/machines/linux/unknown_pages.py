"""What follows for pages without flags from what their zone's per-CPU lists hold.

A zone with more of them than its lists have certainly holds pages of the kernel
among them, and so does a block with more than its whole zone's lists have.
"""

from collections.abc import Collection, Iterator, Mapping

from memhp.core.census import BlockCensus, PageKind
from memhp.core.evidence import MANY_PASSING
from memhp.core.geometry import BlockId
from memhp.core.ranges import format_blocks
from memhp.core.words import ZoneType
from memhp.machines.linux.blocks import read_blocks
from memhp.machines.linux.root import Root
from memhp.machines.linux.zone_lists import ZoneLists, ZoneName

Unknown = Mapping[ZoneName, Mapping[BlockId, int]]


def unknown_by_zone(root: Root, counted: Collection[BlockCensus]) -> Unknown:
    """How many unknown pages each block has, by zone; blocks of several zones are left out.

    Raises ``MachineError``.
    """
    zones = {b.block: (b.node, b.zone) for b in read_blocks(root, {})}
    found: dict[ZoneName, dict[BlockId, int]] = {}
    for census in counted:
        number = census.pages.get(PageKind.UNKNOWN, 0)
        node, zone = zones.get(census.block, (None, None))
        if number and node is not None and zone is not None:
            found.setdefault((node, zone), {})[census.block] = number
    return found


def notes_of_unknown(unknown: Unknown, lists: Mapping[ZoneName, ZoneLists]) -> Iterator[str]:
    """What can be said of unknown pages; nothing of zones of which nothing is known."""
    known = {name: blocks for name, blocks in unknown.items() if name in lists}
    of_kernel = {n: blocks for n, blocks in known.items() if n[1].holds_kernel_memory}
    if of_kernel:
        yield _at_most(of_kernel, lists)
        certain = [
            block
            for name, blocks in of_kernel.items()
            for block, number in blocks.items()
            if number > lists[name].most + MANY_PASSING
        ]
        if certain:
            yield (
                f"{format_blocks(certain)}: more unknown pages than that, so some of them are "
                "the kernel's"
            )
    movable = sum(sum(blocks.values()) for (_, z), blocks in known.items() if z is ZoneType.MOVABLE)
    if movable:
        yield (
            f"{movable} of the unknown pages are in zone Movable, where the kernel has no plain "
            "pages of its own: they are free, or move"
        )


def _at_most(unknown: Unknown, lists: Mapping[ZoneName, ZoneLists]) -> str:
    sums = {name: sum(blocks.values()) for name, blocks in unknown.items()}
    free = sum(min(number, lists[name].cached) for name, number in sums.items())
    rest = sum(max(0, number - lists[name].most) for name, number in sums.items())
    told = (
        f"of {sum(sums.values())} unknown pages in zones of kernel memory at most {free} can be "
        "free ones on per-CPU lists (zoneinfo)"
    )
    return f"{told}; about {rest} or more are the kernel's" if rest > MANY_PASSING else told
