"""Where pages lie, seen from the node whose processors touch them."""

from collections import Counter
from collections.abc import Mapping
from typing import Final

import numpy as np

from memhp.core.geometry import PAGES_PER_PAGEBLOCK, PAGES_PER_SECTION, NodeId
from memhp.model.compare.facts import Access, Placed
from memhp.model.kernel import Kernel
from memhp.model.pages.holding import Holding
from memhp.model.pages.pages import Pages
from memhp.model.pages.words import PageKind

_ACCESS: Final = {
    PageKind.ANON: Access.USER,
    PageKind.FILE: Access.USER,
    PageKind.SHMEM: Access.USER,
    PageKind.THP: Access.USER,
    PageKind.HUGETLB: Access.USER,
    PageKind.PAGE_TABLE: Access.WALKS,
    PageKind.SLAB: Access.SLAB,
    PageKind.SLAB_RECLAIMABLE: Access.SLAB,
}


def placed_pages(
    kernel: Kernel, pages: Pages, home_of: Mapping[str, NodeId]
) -> dict[Access, Placed]:
    """Count pages by who touches them from where, and where they lie.

    ``home_of`` tells the node of each owner's processors; an owner without one
    is the kernel itself, which runs everywhere, and is left out. The page structures
    that count are those of user pages.
    """
    counts: dict[Access, Counter[tuple[NodeId, NodeId]]] = {kind: Counter() for kind in Access}
    memmap = _memmap_nodes(kernel)
    for holding in pages.holders.holdings.values():
        access, home = _ACCESS.get(holding.kind), home_of.get(holding.owner)
        if access is None or home is None:
            continue
        heads = pages.holders.heads(holding)
        counts[access].update(_by_node(home, _nodes_of(pages, heads), holding))
        if access is Access.USER:
            structs = memmap[heads // PAGES_PER_SECTION]
            counts[Access.STRUCT_PAGES].update(_by_node(home, structs, holding))
    return {kind: dict(count) for kind, count in counts.items()}


def _by_node(
    home: NodeId, nodes: "np.ndarray[tuple[int], np.dtype[np.int64]]", holding: Holding
) -> dict[tuple[NodeId, NodeId], int]:
    numbers, counts = np.unique(nodes, return_counts=True)
    return {
        (home, NodeId(number)): count << holding.order
        for number, count in zip(numbers.tolist(), counts.tolist(), strict=True)
    }


def _nodes_of(
    pages: Pages, heads: "np.ndarray[tuple[int], np.dtype[np.int64]]"
) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    """The node of each frame."""
    nodes = np.array([-1, *(area.node for area in pages.areas)], np.int64)
    found: np.ndarray[tuple[int], np.dtype[np.int64]] = nodes[
        pages.frames.zone[heads // PAGES_PER_PAGEBLOCK]
    ]
    return found


def _memmap_nodes(kernel: Kernel) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    """The node on which the page structures of each section lie."""
    sections = -(-kernel.max_pfn // PAGES_PER_SECTION)
    nodes = np.zeros(sections, np.int64)
    for run in kernel.page_tables.memmap_home:
        block = kernel.blocks.get(run.value)
        if block is not None:
            nodes[run.start : run.end] = block.node
    return nodes
