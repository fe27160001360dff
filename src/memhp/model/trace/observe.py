"""What a recording shows after every step, taken from the model."""

from collections.abc import Iterator
from typing import Any

from memhp.core.geometry import NodeId
from memhp.model.blocks import Block
from memhp.model.kernel import Kernel
from memhp.model.tree.tree import Tree
from memhp.model.zone_choice import valid_zones

Json = dict[str, Any]
_NODE_LISTS = ("online", "possible", "has_memory", "has_normal_memory")


def observe(kernel: Kernel) -> Json:
    """Make one observation in the format of a recording."""
    tree = Tree(kernel)
    memory = "/sys/devices/system/memory"
    return {
        "blocks": list(_blocks(kernel)),
        "zones": list(_zones(kernel)),
        "iomem_ram": [
            [resource.range.start, resource.range.end - 1, resource.name]
            for resource in kernel.iomem
            if resource.is_system_ram
        ],
        "nodes": {
            name: tree.read(f"/sys/devices/system/node/{name}").strip() for name in _NODE_LISTS
        },
        "auto_online_blocks": tree.read(f"{memory}/auto_online_blocks").strip(),
        "mem_total_kb": kernel.mem_total_bytes() >> 10,
    }


def _blocks(kernel: Kernel) -> Iterator[Json]:
    """Runs of blocks that look alike."""
    last: Json | None = None
    for run in kernel.blocks:
        for number in range(run.start, run.end):
            shown = _shown(kernel, number, run.value)
            if last is not None and last["last"] == number - 1 and _same(last, shown):
                last["last"] = number
                continue
            if last is not None:
                yield last
            last = {"first": number, "last": number, **shown}
    if last is not None:
        yield last


def _shown(kernel: Kernel, number: int, block: Block) -> Json:
    return {
        "state": block.state.value,
        "valid_zones": list(valid_zones(kernel, number, block)),
        "removable": str(int(kernel.profile.hot_remove)),
        "nodes": [int(node) for node in block.links],
    }


def _same(one: Json, other: Json) -> bool:
    return all(one[key] == value for key, value in other.items())


def _zones(kernel: Kernel) -> Iterator[Json]:
    for node in sorted(kernel.possible_nodes):
        for zone in kernel.node_zones(NodeId(node)):
            if zone.spanned or zone.present or zone.managed:
                yield {
                    "node": int(zone.node),
                    "zone": zone.zone.value,
                    "spanned": zone.spanned,
                    "present": zone.present,
                    "managed": zone.managed,
                    "start_pfn": zone.start_pfn,
                }
