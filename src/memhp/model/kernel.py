"""The modelled kernel's whole state, and what is asked of it everywhere."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from memhp.core.census import PageKind
from memhp.core.command_line import CommandLine
from memhp.core.geometry import NodeId, bytes_of, pages_of
from memhp.core.ranges import PhysRange
from memhp.core.surroundings import HugePool
from memhp.core.words import (
    BlockState,
    MemmapOnMemory,
    OnlinePolicy,
    OnlineType,
    ZoneType,
)
from memhp.model.blocks import Block, MemoryGroup
from memhp.model.devices import DimmSlot, VirtioMemDevice
from memhp.model.firmware import Firmware
from memhp.model.iomem import ResourceTree
from memhp.model.memblock import Region
from memhp.model.page_level import Left, Obstacle
from memhp.model.page_numbers import PageNumbers
from memhp.model.page_tables import PageTables, Structure
from memhp.model.profile import Profile
from memhp.model.runs import RangeSet, RunMap
from memhp.model.uevents import Uevent
from memhp.model.zones import Zone

BOOT_ZONES = (ZoneType.DMA, ZoneType.DMA32, ZoneType.NORMAL, ZoneType.MOVABLE)


@dataclass(slots=True, kw_only=True)
class Settings:
    """What can be written while the kernel runs, and what holds until it stops."""

    auto_online: OnlineType
    online_policy: OnlinePolicy
    auto_movable_ratio: int
    auto_movable_numa_aware: bool
    memmap_on_memory: MemmapOnMemory
    movable_node: bool
    treat_as_movable: bool = False
    memmap_on_node: bool = False
    migrate_vmalloc: bool = False
    migrate_kernel: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposals:
    """Things proposed for Linux that no released kernel has; off unless asked for."""

    movablecore_acpi: bool = False
    hotadd_memory_treat_as_movable: bool = False
    memmap_on_node: bool = False
    migrate_vmalloc: bool = False
    migrate_kernel: bool = False


class PageLevel(Protocol):
    """The pages of a machine (``memhp.model.pages.machine_pages.MachinePages``).

    A machine of which no page was ever touched has none of this, and blocks
    and zones are all that is known. Ranges are frames, half-open.
    """

    def real(self) -> "PageLevel":
        """The pages themselves, where these are only saved ones."""

    def obstacle(self, start: int, end: int, poisoned: Collection[int] = ()) -> Obstacle | None:
        """Find the page at which ``start_isolate_page_range()`` would stop, if any."""

    def isolate(self, start: int, end: int, poisoned: Collection[int] = ()) -> Obstacle | None:
        """Isolate a range, or say what stands in the way, with the traces that leaves."""

    def move_out(self, kernel: "Kernel", start: int, end: int) -> Left:
        """Migrate what an isolated range holds, once; says what is left."""

    def put_back(self, start: int, end: int) -> None:
        """Undo the isolation: every pageblock is movable now (``undo_isolate_page_range()``)."""

    def leave(self, start: int, end: int) -> None:
        """Take an isolated range without content from its zone."""

    def enter(self, kernel: "Kernel", node: NodeId, zone: ZoneType, start: int, end: int) -> None:
        """Hand the frames of a block that comes online to its zone."""

    def build(self, kernel: "Kernel", structure: Structure, node: NodeId) -> int | None:
        """Allocate pages for a structure; gives the block of the first, ``None`` without room."""

    def unbuild(self, kernel: "Kernel", structure: Structure) -> bool:
        """Free the pages of a structure; false where it has none of its own."""

    def release(self, start: int, end: int) -> tuple[NodeId, ZoneType]:
        """Give the allocator frames that were reserved; gives their zone."""

    def plug(self, start: int, end: int) -> None:
        """Hand frames that the host has plugged to the allocator."""

    def unplug(self, kernel: "Kernel", start: int, end: int) -> bool:
        """Take all frames of a range for the host; false where that fails."""

    def census(self, start: int, end: int) -> dict[PageKind, int]:
        """Count the pages of a range by what they are to someone who wants it."""

    def poison(self, pfn: int) -> str:
        """Take a page out of use, whatever it holds; gives what the kernel says of it."""

    def soft_poison(self, pfn: int) -> None:
        """Take a page out of use after moving its content; raises ``KernelRefusal``."""

    def numbers(self, node: NodeId, zone: ZoneType) -> PageNumbers:
        """What the counters of a zone say."""

    def huge_pools(self) -> Iterator[HugePool]:
        """The pools of huge pages, as ``nodeN/hugepages/`` shows them."""

    def hold_huge_pages(self, pool: HugePool, count: int) -> None:
        """Have a node hold so many of a size, or as many as there is room for."""

    def refresh(self, kernel: "Kernel") -> None:
        """Take over marks and zonelists after a change of what is online."""


@dataclass(slots=True, kw_only=True)
class Kernel:
    """A kernel that runs on the modelled machine.

    ``hosted`` counts, by block, the pages of the kernel itself, which make a
    block impossible to take offline (one in a kernel zone only while
    ``own_pages_block`` is set); ``unmovable`` names the blocks in which a description or a
    recording says that something cannot move, ``held`` page frames of which that is known,
    ``pinned`` blocks in which something looks movable and never moves. ``poisoned`` and
    ``reserved`` (what booting kept) hold page frames. ``pages`` is ``None`` until one is
    touched.
    """

    profile: Profile
    firmware: Firmware
    line: CommandLine
    proposals: Proposals
    settings: Settings
    block_size_bytes: int
    max_pfn: int
    regions: tuple[Region, ...]
    possible_nodes: tuple[NodeId, ...]
    online_nodes: set[NodeId]
    zones: dict[tuple[NodeId, ZoneType], Zone] = field(default_factory=dict)
    blocks: RunMap[Block] = field(default_factory=RunMap)
    groups: dict[int, MemoryGroup] = field(default_factory=dict)
    slots: dict[str, DimmSlot] = field(default_factory=dict)
    virtio_mem: dict[str, VirtioMemDevice] = field(default_factory=dict)
    iomem: ResourceTree = field(default_factory=ResourceTree)
    page_tables: PageTables = field(default_factory=PageTables)
    hosted: RunMap[int] = field(default_factory=RunMap)
    reserved: RangeSet = field(default_factory=RangeSet)
    own_pages_block: bool = True
    unmovable: dict[int, str] = field(default_factory=dict)
    held: set[int] = field(default_factory=set)
    pinned: dict[int, str] = field(default_factory=dict)
    poisoned: set[int] = field(default_factory=set)
    poison_counter: int = 0
    notifier_errors: dict[str, int] = field(default_factory=dict)
    running: bool = False
    hotplug_lock: bool = False
    next_group: int = 0
    seqnum: int = 0
    uevents: list[Uevent] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    pages: PageLevel | None = None

    @property
    def pages_per_block(self) -> int:
        return pages_of(self.block_size_bytes)

    def zone(self, node: NodeId, zone: ZoneType) -> Zone:
        """The zone of a node; an empty one where nothing was ever in it."""
        return self.zones.setdefault((node, zone), Zone(node=node, zone=zone))

    def node_zones(self, node: NodeId) -> Iterator[Zone]:
        """The zones of a node in the order of ``pgdat->node_zones``."""
        return (self.zone(node, zone) for zone in BOOT_ZONES)

    def populated_zones(self) -> Iterator[Zone]:
        """Every zone that has a present page."""
        return (zone for zone in self.zones.values() if zone.populated)

    def huge_pools(self) -> Iterator[HugePool]:
        """The pools of huge pages of each node that has memory; none where pages are not known."""
        return iter(()) if self.pages is None else self.pages.huge_pools()

    def numbers(self, zone: Zone) -> PageNumbers:
        """What the counters of a zone say; all that no page says is free."""
        if self.pages is not None:
            return self.pages.numbers(zone.node, zone.zone)
        free = zone.managed - zone.kernel_pages
        return PageNumbers(free=free, by_kind={"MEMMAP": zone.kernel_pages})

    def node_present(self, node: NodeId, *, kernel_only: bool = False) -> int:
        """Count a node's present pages, in all zones or in those of the kernel."""
        return sum(
            zone.present
            for zone in self.node_zones(node)
            if zone.zone.holds_kernel_memory or not kernel_only
        )

    def node_spanned(self, node: NodeId) -> bool:
        """Tell whether any zone of the node spans a page (``node_spanned_pages()``)."""
        return any(zone.spanned for zone in self.node_zones(node))

    def block_range(self, block: int) -> PhysRange:
        """The addresses of a block."""
        return PhysRange.at(block * self.block_size_bytes, self.block_size_bytes)

    def block_pfn(self, block: int) -> int:
        """The first page frame of a block."""
        return block * self.pages_per_block

    def block_pfns(self, block: int) -> tuple[int, int]:
        """The page frames of a block, half-open."""
        first = self.block_pfn(block)
        return first, first + self.pages_per_block

    def blocks_of(self, wanted: PhysRange) -> range:
        """The block numbers that a range touches."""
        return wanted.blocks_touched(self.block_size_bytes)

    def online_blocks(self) -> int:
        """Count the blocks that are online."""
        return sum(
            run.end - run.start for run in self.blocks if run.value.state is BlockState.ONLINE
        )

    def poisoned_in(self, block: int) -> list[int]:
        """The poisoned page frames in a block, ascending."""
        start = self.block_pfn(block)
        return sorted(pfn for pfn in self.poisoned if start <= pfn < start + self.pages_per_block)

    def printk(self, text: str) -> None:
        """Write a line to the kernel's log."""
        self.log.append(text)

    def uevent(self, action: str, devpath: str, subsystem: str) -> None:
        """Send a uevent (``kobject_uevent()``)."""
        self.seqnum += 1
        self.uevents.append(
            Uevent(action=action, devpath=devpath, subsystem=subsystem, seqnum=self.seqnum)
        )

    def mem_total_bytes(self) -> int:
        """``MemTotal``: every page that the allocator manages."""
        return bytes_of(sum(zone.managed for zone in self.zones.values()))
