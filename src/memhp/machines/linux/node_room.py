"""How much more each node could take in: of its zones, and of the pools of huge pages."""

from collections import defaultdict

from memhp.core.evidence import NodeRoom
from memhp.core.geometry import GIB, MIB, NodeId, pages_of
from memhp.core.words import ZoneType
from memhp.machines.linux.meminfo import read_meminfo
from memhp.machines.linux.numbers import number
from memhp.machines.linux.root import Root
from memhp.machines.linux.surroundings import read_huge_pools, read_zone_rooms


def read_rooms(root: Root) -> tuple[NodeRoom, ...]:
    """A room for each node that has memory; raises ``MachineError``."""
    sums: defaultdict[NodeId, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
    for room in read_zone_rooms(root):
        which = "movable" if room.zone is ZoneType.MOVABLE else "kernel"
        free = pages_of(max(0, room.free_bytes - room.min_bytes))
        sums[room.node][f"{which}_free"] += free
        sums[room.node][f"{which}_reclaimable"] += pages_of(room.cache_bytes)
    huge = {(pool.node, pool.size_bytes): pool.free for pool in read_huge_pools(root)}
    return tuple(
        NodeRoom(
            node=node,
            free_huge=huge.get((node, 2 * MIB), 0),
            free_gigantic=huge.get((node, GIB), 0),
            **found,
        )
        for node, found in sorted(sums.items())
    )


def read_swap_free(root: Root) -> int:
    """Pages that swap could still take; raises ``MachineError``."""
    return pages_of(read_meminfo(root).get("SwapFree", 0))


def read_reserved_huge(root: Root) -> int:
    """Huge pages of 2 MiB that are promised and not yet used; raises ``MachineError``."""
    promised = root.text_if_there("sys/kernel/mm/hugepages/hugepages-2048kB/resv_hugepages")
    return number(promised) or 0
