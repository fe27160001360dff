"""NUMA nodes from ``/sys/devices/system/node``."""

from memhp.core.geometry import NodeId
from memhp.core.snapshot import NodeInfo
from memhp.machines.linux.numbers import number, number_list
from memhp.machines.linux.root import NODES, Root


def read_nodes(root: Root) -> tuple[NodeInfo, ...]:
    """Every node that is online; none on a kernel without NUMA. Raises ``MachineError``."""
    lists = {
        name: frozenset(number_list(root.text_if_there(f"{NODES}/{name}")))
        for name in ("online", "has_memory", "has_normal_memory", "has_cpu")
    }
    return tuple(
        NodeInfo(
            node=NodeId(node),
            has_memory=node in lists["has_memory"],
            has_normal_memory=node in lists["has_normal_memory"],
            has_cpu=node in lists["has_cpu"],
            distances=_distances(root, node),
        )
        for node in sorted(lists["online"])
    )


def _distances(root: Root, node: int) -> tuple[int, ...]:
    words = (root.text_if_there(f"{NODES}/node{node}/distance") or "").split()
    found = (number(word) for word in words)
    return tuple(distance for distance in found if distance is not None)
