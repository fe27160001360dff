"""Orders, migrate types and kinds of pages, in the kernel's words; no numpy here."""

from enum import IntEnum, StrEnum
from typing import Final

MAX_ORDER: Final = 10
"""The largest order of the buddy allocator, inclusive (``MAX_PAGE_ORDER``)."""
NR_ORDERS: Final = MAX_ORDER + 1
PAGEBLOCK_ORDER: Final = 9


class MigrateType(IntEnum):
    """``enum migratetype`` of a kernel without CMA."""

    UNMOVABLE = 0
    MOVABLE = 1
    RECLAIMABLE = 2
    HIGHATOMIC = 3
    ISOLATE = 4

    @property
    def label(self) -> str:
        """What ``/proc/pagetypeinfo`` calls it."""
        return ("Unmovable", "Movable", "Reclaimable", "HighAtomic", "Isolate")[self]


class PageKind(StrEnum):
    """What holds a page. The order is part of the state file: append only."""

    ANON = "anonymous memory"
    FILE = "page cache"
    SHMEM = "tmpfs"
    THP = "transparent huge page"
    HUGETLB = "hugetlb"
    BALLOON = "balloon"
    ZSMALLOC = "zsmalloc"
    SLAB = "slab"
    SLAB_RECLAIMABLE = "reclaimable slab"
    PAGE_TABLE = "page table"
    STACK = "kernel stack"
    VMALLOC = "vmalloc"
    PERCPU = "per-cpu data"
    MEMMAP = "memory map"
    DMA = "device buffer"
    KERNEL = "other kernel page"
    KERNEL_TABLE = "page table of the kernel"
    GIGANTIC = "hugetlb of 1 GiB"

    @property
    def movable(self) -> bool:
        """Whether the kernel can migrate such pages: on an LRU, hugetlb, or with operations.

        Source: ``has_unmovable_pages()``.
        """
        return self in _MOVABLE

    @property
    def mapped(self) -> int:
        """How many page tables map such a page when it is new."""
        return int(self in _MAPPED)

    @property
    def on_lru(self) -> bool:
        """Whether such pages are on an LRU list."""
        return self in _ON_LRU


_ON_LRU: Final = frozenset({PageKind.ANON, PageKind.FILE, PageKind.SHMEM, PageKind.THP})
HUGETLB_KINDS: Final = frozenset({PageKind.HUGETLB, PageKind.GIGANTIC})
_MAPPED: Final = HUGETLB_KINDS | {PageKind.ANON, PageKind.THP, PageKind.SHMEM}
_MOVABLE: Final = _ON_LRU | HUGETLB_KINDS | {PageKind.BALLOON, PageKind.ZSMALLOC}
KINDS: Final = tuple(PageKind)
"""Kinds by their number in arrays and in the state file."""
KIND_NUMBER: Final = {kind: number for number, kind in enumerate(KINDS)}
