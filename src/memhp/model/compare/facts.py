"""What one run counted: nothing here depends on what anything costs."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from memhp.core.geometry import NodeId


class Access(StrEnum):
    """Kinds of pages by who touches them."""

    USER = "user data"
    WALKS = "page walks"
    SLAB = "slab"
    STRUCT_PAGES = "struct pages"


Placed = Mapping[tuple[NodeId, NodeId], int]
"""Pages by (node of the processors that use them, node that they lie on)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Combination:
    """What is compared: a policy, where memory maps live, what may move, how much is pinned.

    ``dma_percent`` is the share of the kernel's pages that a device holds.
    """

    policy: str
    memmap: str
    migrate_vmalloc: bool
    dma_percent: int = 0

    def __str__(self) -> str:
        vmalloc = ", vmalloc moves" if self.migrate_vmalloc else ""
        pinned = f", {self.dma_percent} % pinned" if self.dma_percent else ""
        return f"{self.policy}, memmap {self.memmap}{vmalloc}{pinned}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What happened in one run of one combination.

    ``out_bytes`` is what could be taken out of ``total_bytes``; ``refusals``
    counts the blocks that refused, by why. ``direct_map`` counts entries by their
    size in bytes when all is done. ``stuck_free_bytes`` was free when the first
    kernel allocation failed. ``shootdowns`` are those for the kernel's pages, a
    chunk each; ``split_entries`` direct-map entries of 2 MiB that became single pages.
    ``missing_pages`` are those that a machine's own workload did not get.
    """

    combination: Combination
    seed: int
    cpus: int
    total_bytes: int
    out_bytes: int
    blocks_out: int
    refusals: Mapping[str, int]
    placed: Mapping[Access, Placed]
    stuck_free_bytes: int
    direct_map: Mapping[int, int]
    moved_user_pages: int
    moved_kernel_pages: int
    shootdowns: int
    split_entries: int
    free_2mib_ranges: int
    missing_pages: int = 0
