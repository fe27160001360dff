"""What can be seen of memory blocks by whoever wonders whether they can go offline."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, runtime_checkable

from memhp.core.geometry import BlockId, NodeId
from memhp.core.ranges import PhysRange
from memhp.core.words import BlockState, ZoneType


class Held(StrEnum):
    """What a page is to the functions that take its block offline.

    The members go by what ``has_unmovable_pages()``, ``scan_movable_pages()``
    and ``do_migrate_range()`` ask of a page, and not by who uses it.
    """

    FREE = "free"
    CACHED_FREE = "free, on a per-CPU list"
    LRU = "movable"
    LARGE = "movable, in large pieces"
    BUSY = "movable, in use by input or output a moment ago"
    PINNED = "pinned"
    HUGE = "hugetlb, in use"
    HUGE_FREE = "hugetlb, free"
    GIGANTIC = "hugetlb of 1 GiB, in use"
    GIGANTIC_FREE = "hugetlb of 1 GiB, free"
    DRIVER_MOVABLE = "movable by its driver"
    DRIVER = "given away by a driver"
    POISONED = "poisoned"
    HOLE = "no memory"
    OWN_MAP = "memory map of the block itself"
    RESERVED = "reserved"
    SLAB = "slab"
    PAGE_TABLE = "page table"
    KERNEL = "of the kernel"
    PLAIN = "free on a per-CPU list, or of the kernel"


UNMOVABLE = frozenset({Held.RESERVED, Held.SLAB, Held.PAGE_TABLE, Held.KERNEL})
"""At these pages isolating a block stops; in ``ZONE_MOVABLE`` at reserved ones alone."""
TO_MOVE = frozenset({Held.LRU, Held.LARGE, Held.BUSY, Held.PINNED, Held.DRIVER_MOVABLE})
"""These have to find room elsewhere, page by page."""
MANY_PASSING = 256
"""Fewer kernel pages than these may be gone in a moment, where none was there at every look.

Compaction and page faults hold free pages for moments, which then look like the kernel's.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """Pages of one kind in a block: where the first is, how many, and what more is known.

    ``owner`` is in words a person understands; empty where nobody can tell.
    """

    kind: Held
    first_pfn: int
    count: int
    owner: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockEvidence:
    """One block as it was looked at.

    ``kinds`` counts its pages. ``lasting`` are the kinds of unmovable and
    pinned pages that were there at every look, and pages that showed nothing at
    any (``PLAIN``); ``looks`` is how many there were. Of the last ``most_nobodys``
    can be free ones on lists of the block's zone; ``None`` where nobody knows.
    ``sees_references`` tells whether reference counts were seen, so that pins
    and per-CPU pages show. ``has_holes``: a part of it is no RAM.
    ``stuck`` is what is known to keep it from going beside its pages.
    """

    block: BlockId
    state: BlockState
    zone: ZoneType | None
    node: NodeId | None
    kinds: Mapping[Held, int] = field(default_factory=dict)
    sightings: tuple[Sighting, ...] = ()
    lasting: Mapping[Held, int] = field(default_factory=dict)
    looks: int = 1
    sees_references: bool = True
    has_holes: bool = False
    stuck: str = ""
    most_nobodys: int | None = None

    @property
    def pages_to_move(self) -> int:
        """How many pages have to find room elsewhere, huge ones included."""
        huge = (Held.HUGE, Held.GIGANTIC)
        return sum(self.kinds.get(kind, 0) for kind in (*TO_MOVE, *huge))


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRoom:
    """What a node could take in, in pages; of free pages what its zones may not go below is off.

    ``kernel_*`` is of the zones that hold kernel memory, ``movable_*`` of
    ``ZONE_MOVABLE``. ``*_reclaimable`` is page cache that is clean or can be
    written back. ``free_huge`` counts free pages of the 2 MiB pool, ``free_gigantic``
    those of 1 GiB.
    """

    node: NodeId
    kernel_free: int = 0
    kernel_reclaimable: int = 0
    movable_free: int = 0
    movable_reclaimable: int = 0
    free_huge: int = 0
    free_gigantic: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Everything that a prediction rests on.

    ``swap_free`` counts pages. ``reserved_huge`` are pages of the 2 MiB pool that
    are promised and not yet used: the pool may not shrink below them.
    ``holders`` are processes that hold pages of a kind which stays.
    """

    blocks: tuple[BlockEvidence, ...]
    rooms: tuple[NodeRoom, ...]
    pages_per_block: int
    swap_free: int = 0
    reserved_huge: int = 0
    holders: tuple[Sighting, ...] = ()
    notes: tuple[str, ...] = ()


@runtime_checkable
class LooksInside(Protocol):
    """A machine whose blocks can be looked into."""

    def evidence(self, blocks: Sequence[BlockId]) -> Evidence:
        """Look into blocks; raises ``MachineError`` where they cannot be read."""

    def ranges_of_task(self, pid: int) -> tuple[PhysRange, ...]:
        """Where a process's memory lies; raises ``NoSuchObject``, ``NotSupported``."""
