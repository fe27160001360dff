"""What runs on a model machine and fills its pages, as values; no numpy here.

``memhp.model.pages.run_workload`` does it to a kernel.
"""

from dataclasses import dataclass
from enum import StrEnum

from memhp.core.geometry import NodeId


class Memory(StrEnum):
    """What a process can have more or less of, as a description spells it."""

    ANONYMOUS = "anonymous"
    FILES = "files"
    TMPFS = "tmpfs"
    HUGE = "huge"
    HUGETLB_2M = "hugetlb-2M"
    HUGETLB_1G = "hugetlb-1G"


class KernelMemory(StrEnum):
    """What the kernel can have more or less of by itself."""

    SLAB = "slab"
    RECLAIMABLE_SLAB = "reclaimable-slab"
    PAGE_TABLES = "page-tables"
    STACKS = "stacks"
    VMALLOC = "vmalloc"
    PERCPU = "per-cpu"
    DMA_BUFFERS = "dma-buffers"
    BALLOON = "balloon"
    ZSMALLOC = "zsmalloc"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Grow:
    """A process gets memory; the first step of a process starts it, on a node.

    ``bound``: from that node or not at all.
    """

    process: str
    memory: Memory
    size_bytes: int
    node: NodeId | None = None
    bound: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Shrink:
    """A process gives memory back, pages picked at random."""

    process: str
    memory: Memory
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Fork:
    """A process forks: the child maps the same pages and has tables of its own."""

    process: str
    child: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """A process ends; its page cache stays."""

    process: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """A process pins memory for a device (``FOLL_LONGTERM``), or only locks it (``mlock()``)."""

    process: str
    memory: Memory
    size_bytes: int
    only_lock: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelGrow:
    """The kernel allocates for itself on a node, in single pages."""

    memory: KernelMemory
    size_bytes: int
    node: NodeId


Step = Grow | Shrink | Fork | Exit | Pin | KernelGrow


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """Steps, after filling a share of memory with "mixed"; the same seed does the same.

    ``mixed_percent`` is how much of the memory that is free at first is in use
    after it; 0 leaves it out.
    """

    seed: int = 0
    mixed_percent: int = 0
    steps: tuple[Step, ...] = ()
