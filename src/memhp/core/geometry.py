"""Units of the memory map: pages, sections, blocks, and how one becomes another.

The figures are those of x86-64 with SPARSEMEM (``arch/x86/include/asm/sparsemem.h``).
Sizes in bytes and counts of pages never share a name.
"""

from typing import Final, NewType

Pfn = NewType("Pfn", int)
"""A page frame number: a physical address divided by the page size."""
SectionNr = NewType("SectionNr", int)
"""A section number: a physical address divided by 128 MiB."""
BlockId = NewType("BlockId", int)
"""The N of ``memoryN``: a physical address divided by the memory block size."""
NodeId = NewType("NodeId", int)
"""A NUMA node as Linux numbers it."""

KIB: Final = 1 << 10
MIB: Final = 1 << 20
GIB: Final = 1 << 30
TIB: Final = 1 << 40

PAGE_SHIFT: Final = 12
PAGE_SIZE_BYTES: Final = 1 << PAGE_SHIFT
SECTION_SHIFT: Final = 27
SECTION_SIZE_BYTES: Final = 1 << SECTION_SHIFT
PAGES_PER_SECTION: Final = SECTION_SIZE_BYTES >> PAGE_SHIFT
PAGES_PER_PAGEBLOCK: Final = 512
PAGES_PER_SUBSECTION: Final = 512
MAX_ORDER_NR_PAGES: Final = 1024
STRUCT_PAGE_BYTES: Final = 64


def pages_of(size_bytes: int) -> int:
    """Count the whole pages in a size."""
    return size_bytes >> PAGE_SHIFT


def bytes_of(nr_pages: int) -> int:
    """Turn a count of pages, or a page frame number, into bytes."""
    return nr_pages << PAGE_SHIFT


def round_up(value: int, step: int) -> int:
    """Round up to a multiple of ``step``."""
    return -(-value // step) * step


def round_down(value: int, step: int) -> int:
    """Round down to a multiple of ``step``."""
    return value // step * step
