"""What a block holds of others: memory maps and page tables on the added node (``memmap_on_node``).

Nobody proposed what should become of them when their block goes offline, so it
does not: as long as memory that they describe is there, online or not, the block
stays, unless kernel memory can move.
"""

from memhp.core.geometry import SECTION_SIZE_BYTES
from memhp.core.ranges import PhysRange
from memhp.model.kernel import Kernel
from memhp.model.page_level import Obstacle
from memhp.model.page_tables import MEMMAP_PAGES_PER_SECTION


def structure_of_others(kernel: Kernel, number: int) -> Obstacle | None:
    """Find the first page of a hosting block that other memory needs.

    Memory maps lie there in the order of their sections, the tables behind them.
    """
    first = kernel.block_pfn(number)
    sections = _sections_in(kernel, number)
    per_block = kernel.block_size_bytes // SECTION_SIZE_BYTES
    for place, section in enumerate(sections):
        if section // per_block != number and kernel.blocks.get(section // per_block) is not None:
            pfn = first + place * MEMMAP_PAGES_PER_SECTION
            return Obstacle(pfn=pfn, what="memory map", owner=f"section {section}")
    for (kind, index), home in kernel.page_tables.tables.items():
        mapped = kernel.blocks_of(PhysRange.at(index * kind, int(kind)))
        there = kernel.blocks.count(mapped.start, mapped.stop)
        if home == number and there > (number in mapped):
            pfn = first + len(sections) * MEMMAP_PAGES_PER_SECTION
            owner = f"the kernel ({kind.name} {index})"
            return Obstacle(pfn=pfn, what="page table of the kernel", owner=owner)
    return None


def _sections_in(kernel: Kernel, number: int) -> list[int]:
    """The sections whose memory maps lie in a block."""
    homes = (run for run in kernel.page_tables.memmap_home if run.value == number)
    return [section for run in homes for section in range(run.start, run.end)]
