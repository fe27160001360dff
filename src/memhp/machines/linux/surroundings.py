"""What runs on a Linux machine and would feel a change: huge pages, swap, bindings, room."""

import re
from collections.abc import Iterator

from memhp.core.geometry import KIB, PAGE_SIZE_BYTES, NodeId
from memhp.core.surroundings import HugePool, Surroundings, Swap, ZoneRoom
from memhp.machines.linux.bindings import allowed_nodes, count_unreadable, read_bindings
from memhp.machines.linux.meminfo import read_meminfo
from memhp.machines.linux.numbers import indexed, number, number_list
from memhp.machines.linux.root import MEMORY, NODES, Root
from memhp.machines.linux.zones import zone_parts

_ALL_POOLS = "sys/kernel/mm/hugepages"
_PROMISED = "resv_hugepages"
_ROW = re.compile(
    r"^ +(pages free|min|managed|nr_zone_inactive_file|nr_zone_active_file) +([0-9]{1,18})$",
    re.MULTILINE,
)


def read_surroundings(root: Root) -> Surroundings:
    """Read all of it; raises ``MachineError``.

    On a machine with memory on one node alone nobody can be bound elsewhere,
    so no process is looked at.
    """
    nodes = _memory_nodes(root)
    return Surroundings(
        huge_pools=tuple(read_huge_pools(root)),
        swap=_swap(root),
        bindings=tuple(read_bindings(root, nodes)) if len(nodes) > 1 else (),
        own_nodes=allowed_nodes(root, "self") if root.is_live else None,
        crash_kernel_stays_behind=_crash_kernel_stays_behind(root),
        rooms=tuple(read_zone_rooms(root)),
    )


def count_unseen_bindings(root: Root) -> int:
    """Of how many processes nobody can tell whether they are bound; raises ``MachineError``."""
    return count_unreadable(root) if len(_memory_nodes(root)) > 1 else 0


def _memory_nodes(root: Root) -> tuple[NodeId, ...]:
    return tuple(NodeId(n) for n in number_list(root.text_if_there(f"{NODES}/has_memory")))


def read_huge_pools(root: Root) -> Iterator[HugePool]:
    """The pools of each node; raises ``MachineError``."""
    promised: dict[str, int] = {}
    for name in sorted(root.names(NODES)):
        node = indexed(name, "node")
        for pool in () if node is None else sorted(root.names(f"{NODES}/{name}/hugepages")):
            if pool not in promised:
                promised[pool] = number(root.text_if_there(f"{_ALL_POOLS}/{pool}/{_PROMISED}")) or 0
            folder = f"{NODES}/{name}/hugepages/{pool}"
            size_kib = number(pool.removeprefix("hugepages-").removesuffix("kB"))
            if size_kib is None or node is None:
                continue
            total, free, surplus = (
                number(root.text_if_there(f"{folder}/{file}")) or 0
                for file in ("nr_hugepages", "free_hugepages", "surplus_hugepages")
            )
            yield HugePool(
                node=NodeId(node),
                size_bytes=size_kib * KIB,
                total=total,
                free=free,
                surplus=surplus,
                promised=promised[pool],
            )


def _swap(root: Root) -> Swap | None:
    amounts = read_meminfo(root)
    total, free = amounts.get("SwapTotal"), amounts.get("SwapFree")
    if total is None or free is None:
        return None
    return Swap(total_bytes=total, free_bytes=free)


def _crash_kernel_stays_behind(root: Root) -> bool:
    """Source: ``kexec_crash_loaded_show()``, ``crash_hotplug_show()``."""
    loaded = root.text_if_there("sys/kernel/kexec_crash_loaded") == "1"
    return loaded and root.text_if_there(f"{MEMORY}/crash_hotplug") != "1"


def read_zone_rooms(root: Root) -> Iterator[ZoneRoom]:
    """The room of each zone that has pages; raises ``MachineError``."""
    for node, zone, part in zone_parts(root.text_if_there("proc/zoneinfo") or ""):
        rows = {name: int(value) * PAGE_SIZE_BYTES for name, value in _ROW.findall(part)}
        if rows.get("managed"):
            cache = ("nr_zone_inactive_file", "nr_zone_active_file")
            yield ZoneRoom(
                node=node,
                zone=zone,
                free_bytes=rows.get("pages free", 0),
                min_bytes=rows.get("min", 0),
                cache_bytes=sum(rows.get(name, 0) for name in cache),
            )
