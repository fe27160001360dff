"""Which nodes a block belongs to: the nodes' own folders name all their blocks at once."""

import os
from collections.abc import Sequence

from memhp.machines.linux.root import MEMORY, NODES, Root
from memhp.machines.linux.shares import shared_out

NO_NODE = -1


def first_node_of_blocks(root: Root, numbers: Sequence[int]) -> dict[int, int] | None:
    """The node that each block's folder names first; ``None`` where the first block has none.

    ``NO_NODE`` stands for none. Folders of blocks are looked into only where
    the nodes' folders do not say it, or say two things.
    """
    prefix = root.path(f"{MEMORY}/memory")
    if _first_node(f"{prefix}{numbers[0]}") == NO_NODE:
        return None
    known: dict[int, int] = {}
    twice: set[int] = set()
    for node in _nodes(root):
        here = dict.fromkeys(_blocks_of(root, node), node)
        twice |= known.keys() & here.keys()
        known |= here
    for number in twice:
        del known[number]
    left = [number for number in numbers if number not in known]
    found = shared_out(lambda share: [_first_node(f"{prefix}{n}") for n in share], left)
    known.update(zip(left, found, strict=True))
    return known


def nodes_of_blocks(root: Root, numbers: Sequence[int]) -> dict[int, tuple[int, ...]]:
    """All nodes of each block, ascending: boot memory may have several, or none."""
    found: dict[int, list[int]] = {}
    for node in _nodes(root):
        for number in _blocks_of(root, node):
            found.setdefault(number, []).append(node)
    for number in numbers:
        if number not in found:
            # A tree may have been saved without the nodes' own folders.
            found[number] = sorted(indices(root.names(f"{MEMORY}/memory{number}"), "node"))
    return {number: tuple(nodes) for number, nodes in found.items()}


def _nodes(root: Root) -> list[int]:
    return sorted(indices(root.names(NODES), "node"))


def _blocks_of(root: Root, node: int) -> list[int]:
    return indices(root.names(f"{NODES}/node{node}"), "memory")


def indices(names: Sequence[str], stem: str) -> list[int]:
    """The numbers of those names that are a stem and a number."""
    before = len(stem)
    return [
        int(name[before:])
        for name in names
        if name.startswith(stem) and name[before:].isdecimal() and name.isascii()
    ]


def _first_node(folder: str) -> int:
    """The one that ``lsmem`` takes: the first that the folder names, in whatever order."""
    try:
        names = os.listdir(folder)
    except OSError:
        return NO_NODE
    return next(iter(indices(names, "node")), NO_NODE)
