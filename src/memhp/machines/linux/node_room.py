"""How much more each node could take in, from ``/proc/zoneinfo`` and the pools of huge pages."""

import re
from typing import Final

from memhp.core.evidence import NodeRoom
from memhp.core.geometry import KIB, NodeId, pages_of
from memhp.machines.linux.root import NODES, Root

_HEADING: Final = re.compile(r"Node ([0-9]{1,9}), zone +(\S+)")
_ROW: Final = re.compile(
    r"^ +(?:pages )?(free|min|managed|nr_zone_(?:in)?active_file) +([0-9]{1,20})$",
    re.MULTILINE,
)
_SWAP: Final = re.compile(r"^SwapFree:\s+([0-9]{1,20}) kB", re.MULTILINE)
_HUGE: Final = "hugepages-2048kB"
_GIGANTIC: Final = "hugepages-1048576kB"


def read_rooms(root: Root) -> tuple[NodeRoom, ...]:
    """A room for each node that has memory; raises ``MachineError``."""
    sums: dict[int, dict[str, int]] = {}
    for part in re.split(
        r"^(?=Node )", root.text_if_there("proc/zoneinfo") or "", flags=re.MULTILINE
    ):
        heading = _HEADING.match(part)
        rows = dict(_ROW.findall(part))
        if heading is None or not int(rows.get("managed", 0)):
            continue
        which = "movable" if heading[2] == "Movable" else "kernel"
        into = sums.setdefault(int(heading[1]), {})
        free = max(0, int(rows.get("free", 0)) - int(rows.get("min", 0)))
        cache = sum(int(rows.get(f"nr_zone_{age}_file", 0)) for age in ("inactive", "active"))
        into[f"{which}_free"] = into.get(f"{which}_free", 0) + free
        into[f"{which}_reclaimable"] = into.get(f"{which}_reclaimable", 0) + cache
    return tuple(
        NodeRoom(
            node=NodeId(node),
            free_huge=_number(root, f"{NODES}/node{node}/hugepages/{_HUGE}/free_hugepages"),
            free_gigantic=_number(root, f"{NODES}/node{node}/hugepages/{_GIGANTIC}/free_hugepages"),
            **found,
        )
        for node, found in sorted(sums.items())
    )


def read_swap_free(root: Root) -> int:
    """Pages that swap could still take; raises ``MachineError``."""
    found = _SWAP.search(root.text_if_there("proc/meminfo") or "")
    return 0 if found is None else pages_of(int(found[1]) * KIB)


def read_reserved_huge(root: Root) -> int:
    """Huge pages of 2 MiB that are promised and not yet used; raises ``MachineError``."""
    return _number(root, f"sys/kernel/mm/hugepages/{_HUGE}/resv_hugepages")


def _number(root: Root, relative: str) -> int:
    text = root.text_if_there(relative) or ""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else 0
