"""What uses a machine's memory, and who else changes it: what a change may hurt."""

from dataclasses import dataclass
from enum import StrEnum

from memhp.core.geometry import KIB, NodeId
from memhp.core.words import ZoneType


class Risk(StrEnum):
    """What a change may hurt; each has to be accepted by its name, or nothing is done."""

    BINDINGS = "bindings"
    OWN_CPUSET = "own-cpuset"
    CRASH_KERNEL = "crash-kernel"
    ROOM = "room"
    RATIO = "ratio"
    POISONED = "poisoned"


@dataclass(frozen=True, slots=True, kw_only=True)
class HugePool:
    """The huge pages of one size on one node (``nodeN/hugepages/``); counts are huge pages.

    ``surplus`` of them go back to the kernel as soon as nobody uses them;
    ``promised`` free ones of this size, on whatever node, are kept for mappings
    that have not touched them yet (``resv_hugepages``).
    """

    node: NodeId
    size_bytes: int
    total: int
    free: int
    surplus: int
    promised: int = 0

    @property
    def name(self) -> str:
        """What identifies it on its machine: the name of its folder."""
        return f"node{self.node}/hugepages-{self.size_bytes // KIB}kB"

    @property
    def held(self) -> int:
        """How many stay, used or not: what was asked for in ``nr_hugepages``."""
        return self.total - self.surplus

    @property
    def used(self) -> int:
        """How many somebody has."""
        return self.total - self.free


@dataclass(frozen=True, slots=True, kw_only=True)
class Swap:
    """All swap space, as in ``/proc/meminfo``."""

    total_bytes: int
    free_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """A task or a cgroup whose memory may lie on these nodes alone, or should."""

    who: str
    nodes: tuple[NodeId, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneRoom:
    """What a zone has left: free, of that kept back (``min``), and page cache that could go."""

    node: NodeId
    zone: ZoneType
    free_bytes: int
    min_bytes: int = 0
    cache_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """All of that at one moment; what nobody can tell is empty.

    ``own_nodes`` are those on which memhp itself may have pages, and with it
    the pages that it makes the kernel move; ``None`` for all.
    ``crash_kernel_stays_behind``: a crash kernel is loaded that is not told
    when memory comes or goes.
    """

    huge_pools: tuple[HugePool, ...] = ()
    swap: Swap | None = None
    bindings: tuple[Binding, ...] = ()
    own_nodes: tuple[NodeId, ...] | None = None
    crash_kernel_stays_behind: bool = False
    rooms: tuple[ZoneRoom, ...] = ()
