"""Pages that hold what the kernel needs for other pages: memory maps and page tables.

Each section's memory map and each page-table page is a holding of its own.
Source: ``vmemmap_populate_hugepages()``, ``vmemmap_alloc_block()``.
"""

from typing import Final

import numpy as np

from memhp.core.geometry import NodeId
from memhp.model.page_tables import Structure
from memhp.model.pages.allocate import Request
from memhp.model.pages.area import Area
from memhp.model.pages.frames import FREE, ORDER, TYPE_SHIFT, Pfns
from memhp.model.pages.gfp import GFP_KERNEL
from memhp.model.pages.holding import Holding
from memhp.model.pages.pages import Pages
from memhp.model.pages.split import put_rest
from memhp.model.pages.words import PAGEBLOCK_ORDER, PageKind

STRUCTURES: Final = (PageKind.MEMMAP, PageKind.KERNEL_TABLE)
_MEMMAP_PAGES: Final = 1 << PAGEBLOCK_ORDER


def build_structure(pages: Pages, structure: Structure, node: NodeId) -> Holding | None:
    """Allocate the pages of a structure, a node's own first; ``None`` where there is no room.

    A memory map is one piece of 2 MiB, or, where there is none, single pages.
    """
    if isinstance(structure, int):
        whole = Request(gfp=GFP_KERNEL, node=node, order=PAGEBLOCK_ORDER)
        heads = pages.take(whole)
        if len(heads):
            return _held(pages, structure, heads, PAGEBLOCK_ORDER)
        return _singles(pages, structure, node, _MEMMAP_PAGES)
    return _singles(pages, structure, node, 1)


def build_structure_in(pages: Pages, structure: Structure, start: int, end: int) -> bool:
    """Put a structure into a certain range, as low as there is room; false where there is none."""
    order = PAGEBLOCK_ORDER if isinstance(structure, int) else 0
    area = pages.area_of(start)
    head = -1 if area is None else _take_in(pages, area, order, (start, end))
    if head < 0:
        return False
    _held(pages, structure, np.array([head]), order)
    return True


def free_structure(pages: Pages, structure: Structure) -> None:
    """Free the pages of a structure, where it has any of its own."""
    holding = pages.structures.pop(structure, None)
    if holding is not None:
        pages.free(holding)


def _singles(pages: Pages, structure: Structure, node: NodeId, count: int) -> Holding | None:
    heads = pages.take(Request(gfp=GFP_KERNEL, node=node, count=count))
    if len(heads) == count:
        return _held(pages, structure, heads, 0)
    if len(heads):
        pages.free(pages.holders.hold(heads, 0, PageKind.MEMMAP, "nobody"))
    return None


def _held(pages: Pages, structure: Structure, heads: Pfns, order: int) -> Holding:
    if isinstance(structure, int):
        kind, owner = PageKind.MEMMAP, f"section {structure}"
    else:
        kind, owner = PageKind.KERNEL_TABLE, f"the kernel ({structure[0].name} {structure[1]})"
    holding = pages.holders.hold(heads, order, kind, owner)
    pages.structures[structure] = holding
    return holding


def _take_in(pages: Pages, area: Area, order: int, where: tuple[int, int]) -> int:
    """Take the lowest free chunk of a range off its list; -1 where none is large enough."""
    frames = pages.frames
    section = where[0] // 32768
    while section * 32768 < where[1]:
        if frames.pristine[section]:
            area.largest.touch_section(section)
        codes = frames.state[section * 32768 : (section + 1) * 32768]
        (places,) = np.nonzero((codes & FREE != 0) & (codes & ORDER >= order))
        if len(places):
            break
        section += 1
    else:
        return -1
    head = section * 32768 + int(places[0])
    migratetype = (frames.state_view[head] & ~FREE) >> TYPE_SHIFT
    larger = area.unlist(head)
    put_rest(area, migratetype, head + (1 << order), head + (1 << larger))
    area.account(migratetype, (1 << larger) - (1 << order))
    return head
