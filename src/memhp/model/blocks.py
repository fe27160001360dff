"""Memory blocks, their groups, and where the kernel's own pages lie in them."""

from dataclasses import dataclass

from memhp.core.geometry import NodeId
from memhp.core.words import BlockState, OnlineType, ZoneType


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """``struct memory_block``, but for its number: equal neighbours are one run.

    ``node`` is the last node that registered it, ``links`` are all. ``armed``
    is the stored online type that the next attempt will use; ``OFFLINE`` means
    that none is stored. ``altmap_pages`` hold its own memory map, or, where it
    ``hosts``, that of a whole device. ``early`` tells of boot memory.
    """

    state: BlockState
    node: NodeId
    links: tuple[NodeId, ...]
    zone: ZoneType | None = None
    armed: OnlineType = OnlineType.OFFLINE
    group: int | None = None
    altmap_pages: int = 0
    early: bool = False
    hosts: bool = False


@dataclass(slots=True, kw_only=True)
class MemoryGroup:
    """``struct memory_group``: memory that belongs to one device. Counts are pages.

    A static group (a DIMM) has ``max_pages``, a dynamic one (virtio-mem) has
    ``unit_pages``; the other is zero.
    """

    node: NodeId
    max_pages: int = 0
    unit_pages: int = 0
    present_kernel: int = 0
    present_movable: int = 0

    @property
    def is_dynamic(self) -> bool:
        return self.unit_pages > 0

    def account(self, zone: ZoneType, nr_pages: int) -> None:
        """Count pages that became present (or, below zero, ceased to be)."""
        if zone is ZoneType.MOVABLE:
            self.present_movable += nr_pages
        else:
            self.present_kernel += nr_pages
