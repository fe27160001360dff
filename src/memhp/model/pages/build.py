"""From blocks, zones and counts to pages: made when the first page of a machine is touched.

What booting kept is where ``boot_pages`` put it; the memory map and the page
tables of memory that was added are put at the start of the blocks that count
them. Sections that are free as a whole stay untouched.
"""

from memhp.core.geometry import pages_of
from memhp.model.kernel import Kernel
from memhp.model.pages.frames import Frames
from memhp.model.pages.machine_pages import MachinePages
from memhp.model.pages.populate import enter, present_ranges, refresh


def open_pages(kernel: Kernel) -> MachinePages:
    """The pages of a machine, made from its state where nobody has asked for them before."""
    if not isinstance(kernel.pages, MachinePages):
        kernel.pages = build_pages(kernel)
    return kernel.pages


def build_pages(kernel: Kernel) -> MachinePages:
    """Make the pages of a machine from its blocks, zones and counts."""
    pages = MachinePages(Frames(_reach(kernel)), claims_apart=kernel.profile.fallback_claims_first)
    for zone in sorted(kernel.populated_zones(), key=lambda z: (z.node, z.zone.order)):
        area = pages.area(zone.node, zone.zone)
        for run in present_ranges(kernel, zone):
            enter(kernel, area, run.start, run.end)
    refresh(kernel, pages)
    return pages


def _reach(kernel: Kernel) -> int:
    """The first frame that this machine can never have."""
    ends = [region.range.end for region in kernel.firmware.virtio_mem]
    ends += [slot.range.end for slot in kernel.slots.values() if slot.start is not None]
    if kernel.firmware.hotplug_window is not None:
        ends.append(kernel.firmware.hotplug_window.end)
    return max(kernel.max_pfn, *map(pages_of, ends), 1)
