"""What can be seen of a modelled machine's blocks: all there is, exactly.

The same values as a real machine's, so that the same rule judges them.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from memhp.core.evidence import UNMOVABLE, BlockEvidence, Evidence, Held, NodeRoom, Sighting
from memhp.core.geometry import BlockId, NodeId
from memhp.core.words import BlockState, ZoneType
from memhp.model.blocks import Block
from memhp.model.kernel import Kernel
from memhp.model.offline import what_cannot_move
from memhp.model.pages.area import Area
from memhp.model.pages.build import pages_to_look_at
from memhp.model.pages.frames import (
    CACHED,
    CACHED_TAIL,
    CLASS,
    FREE,
    FREE_TAIL,
    MOVABLE,
    OFFLINE_PAGE,
    ORDER,
    POISONED,
    RESERVED,
    SELF_HOSTED,
    UNTOUCHED,
    Pfns,
)
from memhp.model.pages.frames import (
    UNMOVABLE as UNMOVABLE_CODE,
)
from memhp.model.pages.hugetlb import node_of
from memhp.model.pages.isolate import describe, find_obstacle
from memhp.model.pages.machine_pages import MachinePages
from memhp.model.pages.words import KINDS, PageKind

_PLAIN: Final = {
    FREE_TAIL: Held.FREE,
    CACHED_TAIL: Held.CACHED_FREE,
    RESERVED: Held.RESERVED,
    OFFLINE_PAGE: Held.DRIVER,
    POISONED: Held.POISONED,
    SELF_HOSTED: Held.OWN_MAP,
    UNTOUCHED: Held.HOLE,
}
_OF_KIND: Final = {
    PageKind.HUGETLB: Held.HUGE,
    PageKind.GIGANTIC: Held.GIGANTIC,
    PageKind.BALLOON: Held.DRIVER_MOVABLE,
    PageKind.ZSMALLOC: Held.DRIVER_MOVABLE,
    PageKind.SLAB: Held.SLAB,
    PageKind.SLAB_RECLAIMABLE: Held.SLAB,
    PageKind.PAGE_TABLE: Held.PAGE_TABLE,
}
_IDLE: Final = {Held.HUGE: Held.HUGE_FREE, Held.GIGANTIC: Held.GIGANTIC_FREE}


def model_evidence(kernel: Kernel, blocks: Sequence[tuple[BlockId, Block]]) -> Evidence:
    """Look into blocks, given by number, of a modelled kernel, without changing it."""
    pages = None if kernel.pages is None else pages_to_look_at(kernel)
    return Evidence(
        blocks=tuple(_of_block(kernel, pages, number, block) for number, block in blocks),
        rooms=() if pages is None else _rooms(kernel, pages),
        pages_per_block=kernel.pages_per_block,
    )


def _of_block(
    kernel: Kernel, pages: MachinePages | None, number: BlockId, block: Block
) -> BlockEvidence:
    ram = kernel.iomem.ram_pages(kernel.block_range(number))
    online = block.state is BlockState.ONLINE
    kinds: dict[Held, int] = {}
    sightings: tuple[Sighting, ...] = ()
    if online and pages is not None:
        start, end = kernel.block_pfns(number)
        kinds = _kinds(pages, start, end)
        sightings = tuple(_sightings(kernel, pages, number, kinds))
    elif online and (poisoned := len(kernel.poisoned_in(number))):
        kinds = {Held.POISONED: poisoned}
    return BlockEvidence(
        block=number,
        state=block.state,
        zone=block.zone,
        node=block.node,
        kinds=kinds,
        sightings=sightings,
        lasting={sighting.kind: sighting.count for sighting in sightings},
        has_holes=ram != kernel.pages_per_block,
        stuck=_stuck(kernel, pages, number, block) if online else "",
    )


def _stuck(kernel: Kernel, pages: MachinePages | None, number: BlockId, block: Block) -> str:
    """What keeps the block beside its pages: what a description or its structures say."""
    pinned = kernel.pinned.get(number)
    if pinned is not None:
        return f"pinned for good: {pinned}"
    found = what_cannot_move(kernel, number, block)
    if found is not None and pages is not None:
        seen = pages.obstacle(*kernel.block_pfns(number), kernel.poisoned_in(number))
        # A page in the way is seen as such.
        return "" if seen is not None and str(seen) == found else found
    return found or ""


def _kinds(pages: MachinePages, start: int, end: int) -> dict[Held, int]:
    """Count the pages of a range by kind; chunks by their heads."""
    counts = dict.fromkeys(Held, 0)
    codes = pages.frames.state[start:end]
    per_code = np.bincount(codes, minlength=256)
    for code, kind in _PLAIN.items():
        counts[kind] += int(per_code[code])
    for code in np.flatnonzero(per_code).tolist():
        if code & FREE:
            counts[Held.FREE] += int(per_code[code])
        elif code & CLASS == CACHED:
            counts[Held.CACHED_FREE] += int(per_code[code])
    (places,) = np.nonzero(np.isin(codes & CLASS, (MOVABLE, UNMOVABLE_CODE)))
    for kind, number in _held(pages, places + start):
        counts[kind] += number
    return {kind: number for kind, number in counts.items() if number}


def _held(pages: MachinePages, heads: Pfns) -> Iterator[tuple[Held, int]]:
    holders = pages.holders
    numbers = holders.numbers_at(heads)
    orders = pages.frames.state[heads] & ORDER
    sizes = np.left_shift(1, orders, dtype=np.int64)
    for number in np.unique(numbers).tolist():
        mine = int(sizes[numbers == number].sum())
        page_kind = KINDS[int(holders.kind_of[number])]
        kind = _OF_KIND.get(page_kind, Held.LRU if page_kind.movable else Held.KERNEL)
        if kind is Held.LRU and orders[numbers == number].any():
            kind = Held.LARGE
        if holders.pinned_of[number]:
            kind = Held.PINNED
        elif holders.idle_of[number]:
            kind = _IDLE.get(kind, kind)
        yield kind, mine


def _sightings(
    kernel: Kernel, pages: MachinePages, number: BlockId, kinds: dict[Held, int]
) -> Iterator[Sighting]:
    """The page at which isolating stops, and what is pinned; nothing where neither is."""
    start, end = kernel.block_pfns(number)
    found = find_obstacle(pages, start, end, kernel.poisoned_in(number))
    if found is not None:
        seen = describe(pages, found[0])
        reserved = pages.frames.state_view[found[0]] == RESERVED
        kind = Held.RESERVED if reserved else Held.KERNEL
        count = sum(kinds.get(k, 0) for k in UNMOVABLE) if not reserved else kinds[kind]
        yield Sighting(
            kind=kind, first_pfn=found[0], count=max(1, count), owner=f"{seen.owner}, {seen.what}"
        )
    if kinds.get(Held.PINNED):
        yield Sighting(kind=Held.PINNED, first_pfn=start, count=kinds[Held.PINNED])


def _rooms(kernel: Kernel, pages: MachinePages) -> tuple[NodeRoom, ...]:
    """Free pages above the minimum marks, node by node. The model reclaims nothing."""
    nodes = [node for node in kernel.online_nodes if kernel.node_present(node)]
    return tuple(_room_of(pages, node) for node in sorted(nodes))


def _room_of(pages: MachinePages, node: NodeId) -> NodeRoom:
    areas = [area for area in pages.areas if area.node == node and area.populated]
    idle = [h.kind for h in pages.hugetlb.idle if node_of(pages, h) == node]
    return NodeRoom(
        node=node,
        kernel_free=sum(_free(area) for area in areas if area.zone is not ZoneType.MOVABLE),
        movable_free=sum(_free(area) for area in areas if area.zone is ZoneType.MOVABLE),
        free_huge=idle.count(PageKind.HUGETLB),
        free_gigantic=idle.count(PageKind.GIGANTIC),
    )


def _free(area: Area) -> int:
    return max(0, area.free + area.cached() - area.marks.minimum)
