"""What a machine looked like at one moment, or the part of it that was asked for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Flag, auto

from memhp.core.census import BlockCensus
from memhp.core.geometry import BlockId, NodeId, Pfn
from memhp.core.ranges import PhysRange
from memhp.core.surroundings import Surroundings
from memhp.core.words import (
    BlockState,
    DeviceKind,
    MemmapOnMemory,
    OnlinePolicy,
    OnlineType,
    ZoneType,
)


class Want(Flag):
    """The parts of a snapshot; a machine reads no more than these.

    ``ALL`` is what a machine is, without what takes long and is read where it is
    asked for by name: the census, and ``SURROUNDINGS``, what runs on it, which
    costs a look at every process. ``HUGE_POOLS`` are a part of that.
    """

    NOTHING = 0
    BLOCKS = auto()
    ZONES = auto()
    NODES = auto()
    DEVICES = auto()
    IOMEM = auto()
    POLICY = auto()
    ROOM = auto()
    HOST = auto()
    SURROUNDINGS = auto()
    CENSUS = auto()
    HUGE_POOLS = auto()
    ALL = BLOCKS | ZONES | NODES | DEVICES | IOMEM | POLICY | ROOM | HOST


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryBlock:
    """One ``memoryN`` directory of sysfs, as it stood at one moment.

    ``zone`` is the zone that manages the block: ``None`` when it is offline or
    spans several zones (the kernel then prints ``none`` in ``valid_zones``).
    ``valid_zones`` are the words of that file, the zone that plain ``online``
    would choose first. ``nodes`` may be none, or several for boot memory.
    """

    block: BlockId
    state: BlockState
    zone: ZoneType | None
    nodes: tuple[NodeId, ...]
    valid_zones: tuple[str, ...]
    device: str | None = None

    @property
    def node(self) -> NodeId | None:
        """The node the kernel accounts the block to: the last that registered it."""
        return self.nodes[-1] if self.nodes else None

    @property
    def can_be_tried(self) -> bool:
        """Whether the kernel would even look at its pages.

        A block that spans zones is refused by ``memory_block_offline()``
        before any page is isolated. One of which nobody can tell the zone may go.
        """
        known = self.zone is not None or not self.valid_zones
        return self.state is BlockState.ONLINE and known


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneInfo:
    """A zone of a node, as in ``/proc/zoneinfo``; counts are pages."""

    node: NodeId
    zone: ZoneType
    start_pfn: Pfn
    spanned: int
    present: int
    managed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeInfo:
    """A NUMA node that is online; ``distances`` are to each online node, in order."""

    node: NodeId
    has_memory: bool
    has_normal_memory: bool
    has_cpu: bool
    distances: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A thing that is added or removed whole, and the memory that it gives.

    ``ranges`` are the addresses that the kernel took from it: none while the
    slot is empty or where the kernel rejected the memory. ``size_bytes`` is
    what the device itself offers: of a virtio-mem device the most that it can
    give. What the host asks of that one (``requested-size``), what the guest
    has plugged (``size``) and the unit in which it gives memory
    (``block-size``) are ``requested_bytes``, ``plugged_bytes`` and
    ``unit_bytes``; ``None`` for other devices, and where the machine cannot tell.

    ``pending``: an eject that was asked for waits for its answer; ``None``
    where nobody can tell. ``verdict``: the guest's last answer about the
    device, in words. Neither is part of the structure that a plan rests on.
    """

    name: str
    kind: DeviceKind
    size_bytes: int
    node: NodeId | None
    present: bool
    ranges: tuple[PhysRange, ...] = ()
    requested_bytes: int | None = None
    plugged_bytes: int | None = None
    unit_bytes: int | None = None
    pending: bool | None = field(default=None, repr=False)
    verdict: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class IomemEntry:
    """One line of ``/proc/iomem``; ``depth`` counts its indentation."""

    range: PhysRange
    name: str
    depth: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What memory that comes will meet."""

    auto_online_blocks: OnlineType | None = None
    online_policy: OnlinePolicy | None = None
    auto_movable_ratio: int | None = None
    auto_movable_numa_aware: bool | None = None
    memmap_on_memory: MemmapOnMemory | None = None
    movable_node: bool = False
    hotadd_memory_treat_as_movable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What more a machine could be given, and what it can do without; ``None``: nobody can tell.

    ``slots`` and ``free_slots`` count DIMM slots; ``free_bytes`` is what new
    devices may add up to (``maxmem`` less what there is); ``available_bytes`` is
    ``MemAvailable``.
    """

    slots: int | None = None
    free_slots: int | None = None
    free_bytes: int | None = None
    available_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HostBudget:
    """What the host of a guest has, and what it has promised to all its guests, this one included.

    ``host`` tells which host it is: guests with the same one share the budget.
    A virtio-mem device counts with what is requested or plugged, whichever is more.
    """

    host: str
    total_bytes: int
    promised_bytes: int

    @property
    def free_bytes(self) -> int:
        """What can still be promised; below zero where the host is overcommitted."""
        return self.total_bytes - self.promised_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One reading of a machine. What was not in ``want`` is empty.

    ``host`` is ``None`` for what has no host, or none that can be asked.
    ``census`` has the blocks that are online, where the machine can count pages.
    """

    machine: str
    identity: str
    want: Want
    block_size_bytes: int
    blocks: tuple[MemoryBlock, ...] = ()
    zones: tuple[ZoneInfo, ...] = ()
    nodes: tuple[NodeInfo, ...] = ()
    devices: tuple[Device, ...] = ()
    iomem: tuple[IomemEntry, ...] = ()
    command_line: str = ""
    policy: Policy = Policy()
    room: Room = Room()
    host: HostBudget | None = None
    surroundings: Surroundings = field(default_factory=Surroundings)
    census: Mapping[BlockId, BlockCensus] = field(default_factory=dict)


Snapshots = Mapping[str, Snapshot]
"""Snapshots of several machines, by the machines' names."""
