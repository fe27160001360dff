"""Facts made by hand, for tests of what is worked out from them."""

from typing import Any

from memhp.core.geometry import GIB, MIB, NodeId
from memhp.model.compare.facts import Access, Combination, Facts

NODE0, NODE1 = NodeId(0), NodeId(1)
NORMAL = Combination(policy="normal", memmap="ordinary", migrate_vmalloc=False)
MOVABLE = Combination(policy="movable-node", memmap="ordinary", migrate_vmalloc=False)
LOCAL = {(NODE0, NODE0): 100, (NODE1, NODE1): 100}
HALF = {(NODE0, NODE0): 100, (NODE1, NODE0): 100}


def facts(combination: Combination = NORMAL, seed: int = 1, **changed: Any) -> Facts:
    fields: dict[str, Any] = {
        "combination": combination,
        "seed": seed,
        "cpus": 16,
        "total_bytes": 4 * GIB,
        "out_bytes": GIB,
        "blocks_out": 8,
        "refusals": {"slab": 24},
        "placed": dict.fromkeys(Access, LOCAL),
        "stuck_free_bytes": 10 * MIB,
        "direct_map": {2 * MIB: 512, GIB: 3},
        "moved_user_pages": 1000,
        "moved_kernel_pages": 0,
        "shootdowns": 1000,
        "split_entries": 0,
        "free_2mib_ranges": 5,
    }
    return Facts(**(fields | changed))


def movable(seed: int = 1, **changed: Any) -> Facts:
    """A machine on which node 1's kernel memory lies on node 0."""
    placed = dict.fromkeys(Access, HALF) | {Access.USER: LOCAL}
    return facts(MOVABLE, seed, placed=placed, **changed)
