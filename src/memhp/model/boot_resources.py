"""The resource tree as it stands when the kernel has booted.

Source: ``e820__reserve_resources()``, ``insert_resource()`` of the kernel
image in ``setup_arch()``, ``acpi_table_upgrade()``.
"""

from memhp.core.command_line import CommandLine
from memhp.core.ranges import PhysRange
from memhp.model.firmware import USABLE, Firmware
from memhp.model.iomem import SYSTEM_RAM, Resource, ResourceTree
from memhp.model.memblock import usable_ranges
from memhp.model.runs import RangeSet

_KERNEL_PARTS = ("Kernel code", "Kernel rodata", "Kernel data", "Kernel bss")
_NAMES = {
    "reserved": "Reserved",
    "ACPI data": "ACPI Tables",
    "ACPI NVS": "ACPI Non-volatile Storage",
    "unusable": "Unusable memory",
    "persistent": "Persistent Memory",
    "soft reserved": "Soft Reserved",
}


def boot_resources(firmware: Firmware, line: CommandLine) -> ResourceTree:
    """Make the tree: RAM that is used, what the firmware keeps, and the kernel image."""
    ram = RangeSet((entry.start, entry.end, True) for entry in usable_ranges(firmware, line))
    tree = ResourceTree()
    tree.insert(_top(PhysRange(start=0, end=4096), "Reserved"))
    for entry in firmware.memory_map:
        if entry.kind != USABLE:
            tree.insert(_top(entry.range, _NAMES.get(entry.kind, entry.kind)))
    if firmware.acpi_override is not None:
        ram.clear(firmware.acpi_override.start, firmware.acpi_override.end)
        tree.insert(_top(firmware.acpi_override, "ACPI Tables"))
    for run in ram:
        tree.insert(_top(PhysRange(start=run.start, end=run.end), SYSTEM_RAM))
    for part, name in zip(firmware.kernel_image, _KERNEL_PARTS, strict=False):
        tree.insert(Resource(range=part, depth=1, name=name))
    return tree


def _top(range_: PhysRange, name: str) -> Resource:
    return Resource(range=range_, depth=0, name=name)
