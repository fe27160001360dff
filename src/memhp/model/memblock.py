"""The early memory map: firmware's ranges, page-aligned, with nodes and flags.

Source: ``e820__memblock_setup()``, ``trim_bios_range()``, ``parse_memopt()``,
``numa_register_meminfo()`` and ``numa_clear_kernel_node_hotplug()``.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from memhp.core.command_line import CommandLine
from memhp.core.geometry import MIB, PAGE_SIZE_BYTES, NodeId, pages_of, round_down, round_up
from memhp.core.ranges import PhysRange
from memhp.model.firmware import USABLE, Affinity, Firmware
from memhp.model.runs import RangeSet

_BIOS = PhysRange(start=0xA0000, end=0x100000)
_LOW_MEMORY = PhysRange(start=0, end=MIB)


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """Usable memory of one node in page frames, ``[start_pfn, end_pfn)``."""

    start_pfn: int
    end_pfn: int
    node: NodeId
    hotpluggable: bool = False
    mirrored: bool = False

    @property
    def nr_pages(self) -> int:
        return self.end_pfn - self.start_pfn


def usable_ranges(firmware: Firmware, line: CommandLine) -> tuple[PhysRange, ...]:
    """What remains usable of the firmware's map, in bytes, neighbours joined.

    ``mem=`` takes away all RAM above an address; page 0 and 640 KiB to 1 MiB
    belong to the BIOS.
    """
    usable = RangeSet()
    for entry in firmware.memory_map:
        if entry.kind == USABLE:
            usable.add(entry.range.start, entry.range.end)
    usable.clear(0, PAGE_SIZE_BYTES)
    usable.clear(_BIOS.start, _BIOS.end)
    for limit in line.mem_bytes:
        usable.clear(limit, 1 << 64)
    return tuple(PhysRange(start=run.start, end=run.end) for run in usable)


def memory_regions(firmware: Firmware, line: CommandLine) -> tuple[Region, ...]:
    """Build ``memblock.memory`` with nodes and flags, ascending."""
    usable = tuple(
        PhysRange(start=start, end=end)
        for entry in usable_ranges(firmware, line)
        if (start := round_up(entry.start, PAGE_SIZE_BYTES))
        < (end := round_down(entry.end, PAGE_SIZE_BYTES))
    )
    affinities = trusted_affinities(firmware, usable)
    used = _nodes_the_kernel_is_on(firmware, affinities)
    pieces = [
        Region(
            start_pfn=pages_of(part.start),
            end_pfn=pages_of(part.end),
            node=affinity.node,
            hotpluggable=affinity.hotpluggable and affinity.node not in used,
            mirrored=_mirrored(firmware, part),
        )
        for entry in usable
        for part, affinity in _cut(entry, affinities, firmware)
    ]
    return tuple(_joined(pieces))


def trusted_affinities(firmware: Firmware, usable: Iterable[PhysRange]) -> tuple[Affinity, ...]:
    """The SRAT, or one node over everything where the SRAT leaves 1 MiB of RAM out.

    Source: ``numa_meminfo_cover_memory()``, ``dummy_numa_init()``.
    """
    affinities = tuple(sorted(firmware.affinities, key=lambda entry: entry.range.start))
    covered = sum(
        max(0, min(entry.end, affinity.range.end) - max(entry.start, affinity.range.start))
        for entry in usable
        for affinity in affinities
    )
    if sum(entry.size_bytes for entry in usable) - covered < MIB:
        return affinities
    everything = PhysRange(start=0, end=1 << 52)
    return (Affinity(range=everything, node=NodeId(0), hotpluggable=False),)


def _nodes_the_kernel_is_on(
    firmware: Firmware, affinities: tuple[Affinity, ...]
) -> frozenset[NodeId]:
    """Nodes with anything in ``memblock.reserved`` when the SRAT is read.

    Model: the kernel image, the initrd, the first MiB and a replaced SRAT;
    early page tables lie beside the kernel image.
    """
    reserved = [_LOW_MEMORY, *firmware.kernel_image, *firmware.ramdisk]
    if firmware.acpi_override is not None:
        reserved.append(firmware.acpi_override)
    return frozenset(
        affinity.node
        for affinity in affinities
        if any(affinity.range.overlaps(entry) for entry in reserved)
    )


def _cut(
    entry: PhysRange, affinities: tuple[Affinity, ...], firmware: Firmware
) -> Iterable[tuple[PhysRange, Affinity]]:
    """Cut a usable range along the SRAT's entries and the mirrored ranges."""
    edges = {entry.start, entry.end}
    borders = [affinity.range for affinity in affinities]
    borders += [mapped.range for mapped in firmware.memory_map if mapped.mirrored]
    for border in borders:
        edges |= {border.start, border.end}
    inside = sorted(edge for edge in edges if edge in entry or edge == entry.end)
    for start, end in pairwise(inside):
        for affinity in affinities:
            if start in affinity.range:
                yield PhysRange(start=start, end=end), affinity
                break


def _mirrored(firmware: Firmware, part: PhysRange) -> bool:
    return any(entry.mirrored and part.start in entry.range for entry in firmware.memory_map)


def _joined(pieces: Iterable[Region]) -> Iterable[Region]:
    """``memblock_merge_regions()``: join neighbours of one node with equal flags."""
    last: Region | None = None
    for piece in pieces:
        if (
            last is not None
            and last.end_pfn == piece.start_pfn
            and (last.node, last.hotpluggable, last.mirrored)
            == (piece.node, piece.hotpluggable, piece.mirrored)
        ):
            last = Region(
                start_pfn=last.start_pfn,
                end_pfn=piece.end_pfn,
                node=last.node,
                hotpluggable=last.hotpluggable,
                mirrored=last.mirrored,
            )
            continue
        if last is not None:
            yield last
        last = piece
    if last is not None:
        yield last
