"""What a kernel needs to boot on a described machine: memory, and a place for itself."""

from collections.abc import Iterable
from typing import Final

from memhp.core.command_line import CommandLine
from memhp.core.geometry import (
    GIB,
    MIB,
    PAGE_SIZE_BYTES,
    PAGES_PER_SECTION,
    STRUCT_PAGE_BYTES,
    bytes_of,
    round_down,
)
from memhp.core.ranges import PhysRange
from memhp.core.targets import format_size
from memhp.model.description_memory import BootMemory
from memhp.model.description_table import Table
from memhp.model.firmware import USABLE, Firmware
from memhp.model.memblock import Region, memory_regions, usable_ranges
from memhp.model.runs import RangeSet

_IMAGE: Final = PhysRange(start=16 * MIB, end=80 * MIB)
_INITRD: Final = PhysRange(start=96 * MIB, end=128 * MIB)
_LEAST_IMAGE = 4 * MIB
_LEAST_MEMORY = 256 * MIB
_STARTUP_SHARE = 64
"""One part in so many stays for drivers, caches and page tables while starting."""

Ranges = tuple[PhysRange, ...]


def read_kernel_image(layout: Table, memory: BootMemory) -> tuple[Ranges, Ranges]:
    """Read where kernel image and initrd lie: the parts of the one, and the other.

    By default low on the first node, as boot loaders put them. Raises
    ``DescriptionError``.
    """
    image = layout.addresses("kernel_image") if "kernel_image" in layout else _IMAGE
    initrd = layout.addresses("initrd") if "initrd" in layout else _INITRD
    if image.size_bytes < _LEAST_IMAGE:
        allowed = f"give {format_size(_LEAST_IMAGE)} or more"
        raise layout.error("kernel_image", f"{image} is small", allowed)
    if image.overlaps(initrd):
        key = "initrd" if "initrd" in layout else "kernel_image"
        raise layout.error(key, f"initrd {initrd} overlaps kernel {image}", "keep them apart")
    for key, wanted in (("kernel_image", image), ("initrd", initrd)):
        if not any(part.start <= wanted.start and wanted.end <= part.end for part in _ram(memory)):
            raise layout.error(
                key if key in layout else None,
                f"puts {key} at {wanted}, where no memory is",
                f"give {key} as first and last byte within memory",
            )
    return _image_parts(image), (initrd,)


def check_amount(machine: Table, size_bytes: int, key: str = "node") -> None:
    """Check that there is memory enough for a kernel at all; raises ``DescriptionError``."""
    if size_bytes < _LEAST_MEMORY:
        raise machine.error(
            key,
            f"leaves {format_size(round_down(size_bytes, MIB))} of memory at boot",
            f"a kernel needs {format_size(_LEAST_MEMORY)}",
        )


def check_needs(machine: Table, firmware: Firmware, line: CommandLine) -> int:
    """Check that a kernel can boot, and return the first page frame behind its memory.

    Raises ``DescriptionError``.
    """
    usable = usable_ranges(firmware, line)
    key = "command_line" if line.mem_bytes else "node"
    for wanted in (*firmware.kernel_image, *firmware.ramdisk):
        if not any(part.start <= wanted.start and wanted.end <= part.end for part in usable):
            raise machine.error(key, "leaves no room for kernel or initrd", f"it lies at {wanted}")
    regions = memory_regions(firmware, line)
    check_amount(machine, _bytes(regions), key)
    _check_memory_map(machine, regions, movable_node=line.movable_node)
    return regions[-1].end_pfn


def _check_memory_map(machine: Table, regions: Iterable[Region], *, movable_node: bool) -> None:
    """The page structures of all boot memory lie in memory that is not hot-pluggable."""
    regions = tuple(regions)
    kernel_own = _bytes(r for r in regions if not (r.hotpluggable and movable_node))
    sections = RangeSet()
    for region in regions:
        first, last = region.start_pfn // PAGES_PER_SECTION, -(-region.end_pfn // PAGES_PER_SECTION)
        sections.add(first, last)
    map_bytes = sections.total * PAGES_PER_SECTION * STRUCT_PAGE_BYTES
    needed = map_bytes + _bytes(regions) // _STARTUP_SHARE + _LEAST_MEMORY // 2
    if needed > kernel_own:
        raise machine.error(
            "node",
            f"leaves the kernel {_about(kernel_own)} that is not hot-pluggable",
            f"it needs {_about(needed)} to keep track of {_about(_bytes(regions))}",
        )


def _about(size_bytes: int) -> str:
    unit = GIB if size_bytes >= 4 * GIB else MIB
    return format_size(round_down(size_bytes, unit))


def _bytes(regions: Iterable[Region]) -> int:
    return bytes_of(sum(region.nr_pages for region in regions))


def _ram(memory: BootMemory) -> Iterable[PhysRange]:
    """Usable memory with neighbours joined, whoever's node it is."""
    usable = (entry.range for entry in memory.memory_map if entry.kind == USABLE)
    joined = RangeSet((part.start, part.end, True) for part in usable)
    return [PhysRange(start=run.start, end=run.end) for run in joined]


def _image_parts(image: PhysRange) -> Ranges:
    """Code, read-only data, data and bss, in the proportions of a Debian kernel."""
    eighth = round_down(image.size_bytes // 8, PAGE_SIZE_BYTES)
    edges = [image.start + eighth * place for place in (0, 4, 6, 7)]
    return tuple(
        PhysRange(start=low, end=high)
        for low, high in zip(edges, [*edges[1:], image.end], strict=True)
    )
