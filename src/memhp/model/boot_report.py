"""What booting made of a machine: what could be taken out, and why a node is not movable."""

from collections import Counter
from collections.abc import Iterator, Mapping

from memhp.core.geometry import MIB, NodeId
from memhp.core.ranges import PhysRange
from memhp.core.words import BlockState, ZoneType
from memhp.model.firmware import Affinity
from memhp.model.kernel import Kernel
from memhp.model.memblock import trusted_affinities, usable_ranges
from memhp.model.offline import what_cannot_move


def bytes_to_take_out(kernel: Kernel) -> Mapping[NodeId, int]:
    """How much of each node lies in blocks of ZONE_MOVABLE that nothing holds, in bytes.

    Blocks of the kernel's zones may go offline too, and nobody can promise it.
    """
    found: Counter[NodeId] = Counter()
    for run in kernel.blocks:
        if run.value.state is not BlockState.ONLINE or run.value.zone is not ZoneType.MOVABLE:
            continue
        for number in range(run.start, run.end):
            whole = kernel.iomem.ram_pages(kernel.block_range(number)) == kernel.pages_per_block
            if whole and what_cannot_move(kernel, number, run.value) is None:
                found[run.value.node] += kernel.block_size_bytes
    return dict(found)


def why_not_movable(kernel: Kernel) -> Mapping[NodeId, str]:
    """Say of each hot-pluggable node that has kernel memory from boot why it has it.

    Source: ``numa_clear_kernel_node_hotplug()``,
    ``find_zone_movable_pfns_for_nodes()``.
    """
    usable = usable_ranges(kernel.firmware, kernel.line)
    affinities = trusted_affinities(kernel.firmware, usable)
    if affinities != tuple(sorted(kernel.firmware.affinities, key=lambda e: e.range.start)):
        named = {entry.node for entry in kernel.firmware.affinities if entry.hotpluggable}
        return dict.fromkeys(
            named, "the SRAT leaves RAM out, and the kernel does not use it at all"
        )
    found: dict[NodeId, str] = {}
    for node in sorted({entry.node for entry in affinities if entry.hotpluggable}):
        if _has_kernel_memory_from_boot(kernel, node):
            own = [entry for entry in affinities if entry.node == node]
            found[node] = "; ".join(_reasons(kernel, own))
    return found


def _has_kernel_memory_from_boot(kernel: Kernel, node: NodeId) -> bool:
    return any(
        zone.present_early for zone in kernel.node_zones(node) if zone.zone.holds_kernel_memory
    )


def _reasons(kernel: Kernel, own: list[Affinity]) -> Iterator[str]:
    if not kernel.settings.movable_node:
        yield _not_asked_for(kernel)
        return
    there = [
        f"{what} lies there, at {part}"
        for what, part in _early_users(kernel)
        if any(entry.range.overlaps(part) for entry in own)
    ]
    if there:
        yield from there
    elif not all(entry.hotpluggable for entry in own):
        yield "only a part of it is hot-pluggable"
    else:
        yield "its memory shares a chunk of the largest order with the kernel's"


def _not_asked_for(kernel: Kernel) -> str:
    line = kernel.line
    if line.movablecore_acpi:
        return "this kernel does not know 'movablecore=acpi'; released ones have 'movable_node'"
    return "'movable_node' is not on the command line"


def _early_users(kernel: Kernel) -> Iterator[tuple[str, PhysRange]]:
    """What is in memory before the SRAT is read."""
    yield "the first MiB, which the kernel always uses,", PhysRange(start=0, end=MIB)
    image = kernel.firmware.kernel_image
    if image:
        yield (
            "the kernel itself",
            PhysRange(start=min(p.start for p in image), end=max(p.end for p in image)),
        )
    for part in kernel.firmware.ramdisk:
        yield "the initrd", part
    if kernel.firmware.acpi_override is not None:
        yield "the replaced SRAT", kernel.firmware.acpi_override
