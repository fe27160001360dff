"""From blocks, zones and counts to pages: made when the first page of a machine is touched.

What booting kept is where ``boot_pages`` put it; the memory map and the page
tables of memory that was added are put at the start of the blocks that count
them. Sections that are free as a whole stay untouched.
"""

from collections import Counter
from collections.abc import Iterator

from memhp.core.geometry import PAGES_PER_SECTION, pages_of
from memhp.model.kernel import Kernel
from memhp.model.page_tables import MEMMAP_PAGES_PER_SECTION, Structure
from memhp.model.pages.frames import Frames
from memhp.model.pages.machine_pages import MachinePages
from memhp.model.pages.populate import enter, refresh
from memhp.model.pages.structures import build_structure_in
from memhp.model.present import present_ranges


def open_pages(kernel: Kernel) -> MachinePages:
    """The pages of a machine, made from its state where nobody has asked for them before."""
    pages = pages_to_look_at(kernel)
    kernel.pages = pages
    return pages


def pages_to_look_at(kernel: Kernel) -> MachinePages:
    """The pages of a machine; where none was ever touched, what they would be, and it stays so."""
    real = None if kernel.pages is None else kernel.pages.real()
    return real if isinstance(real, MachinePages) else build_pages(kernel)


def build_pages(kernel: Kernel) -> MachinePages:
    """Make the pages of a machine from its blocks, zones and counts."""
    pages = empty_pages(kernel)
    for zone in sorted(kernel.populated_zones(), key=lambda z: (z.node, z.zone.order)):
        area = pages.area(zone.node, zone.zone)
        for run in present_ranges(kernel, zone):
            enter(kernel, area, run.start, run.end)
    refresh(kernel, pages)
    for structure, block in _structures(kernel):
        build_structure_in(pages, structure, *kernel.block_pfns(block))
    return pages


def empty_pages(kernel: Kernel) -> MachinePages:
    """Pages for all the frames that a machine can have, and nothing in them."""
    return MachinePages(Frames(_reach(kernel)), claims_apart=kernel.profile.fallback_claims_first)


def _structures(kernel: Kernel) -> Iterator[tuple[Structure, int]]:
    """Memory maps and tables that came after booting, each with the block that counts it."""
    later: Counter[int] = Counter()
    for run in kernel.hosted:
        for block in range(run.start, run.end):
            later[block] = run.value - kernel.reserved.count(*kernel.block_pfns(block))
    for run in kernel.page_tables.memmap_home:
        for section in range(run.start, run.end):
            own = section * PAGES_PER_SECTION // kernel.pages_per_block
            if own != run.value and later[run.value] >= MEMMAP_PAGES_PER_SECTION:
                later[run.value] -= MEMMAP_PAGES_PER_SECTION
                yield section, run.value
    # Tables of boot memory came first, and lie among what booting kept.
    for table, block in reversed(kernel.page_tables.tables.items()):
        if later[block] > 0:
            later[block] -= 1
            yield table, block


def _reach(kernel: Kernel) -> int:
    """The first frame that this machine can never have."""
    ends = [region.range.end for region in kernel.firmware.virtio_mem]
    ends += [slot.range.end for slot in kernel.slots.values() if slot.start is not None]
    if kernel.firmware.hotplug_window is not None:
        ends.append(kernel.firmware.hotplug_window.end)
    return max(kernel.max_pfn, *map(pages_of, ends), 1)
