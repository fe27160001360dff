"""The physical phase: memory appears, and goes.

Source: ``register_memory_resource()``, ``add_memory_resource()``,
``try_remove_memory()``, ``try_offline_node()``.
"""

import errno
from dataclasses import replace

from memhp.core.geometry import SECTION_SIZE_BYTES, NodeId, pages_of
from memhp.core.ranges import PhysRange
from memhp.core.words import BlockState, MemmapOnMemory, OnlineType
from memhp.model.blocks import Block, MemoryGroup
from memhp.model.iomem import SYSTEM_RAM, Resource
from memhp.model.kernel import Kernel
from memhp.model.kernel_pages import map_memory, map_on_itself, map_on_node, unmap_memory
from memhp.model.online import arm, device_online
from memhp.model.page_tables import MEMMAP_PAGES_PER_SECTION
from memhp.model.steps import KernelRefusal, Pause, Steps

_LAST_ADDRESS = 1 << 46
"""Four-level page tables map 46 bits (``mhp_get_pluggable_range()``)."""


def register_group(kernel: Kernel, group: MemoryGroup) -> int:
    """Register a device's memory group; raises ``KernelRefusal`` (EINVAL)."""
    if group.node not in kernel.possible_nodes or (not group.max_pages and not group.unit_pages):
        raise KernelRefusal(errno.EINVAL, f"node {group.node} is not possible")
    number = kernel.next_group
    kernel.next_group += 1
    kernel.groups[number] = group
    return number


def add_memory(
    kernel: Kernel,
    added: PhysRange,
    group: int,
    *,
    name: str = SYSTEM_RAM,
    memmap_on_memory: bool = False,
    merge: bool = False,
    depth: int = 0,
) -> Steps[None]:
    """Hot-add a range and bring it online as the policy says (``__add_memory()``).

    Raises ``KernelRefusal``: E2BIG beyond what can be mapped, EEXIST where
    something is there, EINVAL for alignment or node, ENOMEM without room for
    the memory map. What coming online answers is ignored, as the kernel does.
    """
    _request_region(kernel, added, name, depth)
    try:
        _check_alignment(kernel, added)
        _add_resource(kernel, added, group, memmap_on_memory=memmap_on_memory)
    except KernelRefusal:
        kernel.iomem.release(added)
        raise
    if merge:
        kernel.iomem.merge(added.start)
    yield Pause.BETWEEN_BLOCKS
    yield from _online_added(kernel, added)


def remove_memory(kernel: Kernel, removed: PhysRange) -> None:
    """Remove a range whose blocks are all offline (``try_remove_memory()``).

    Raises ``KernelRefusal`` (EBUSY) while any block is not, and then nothing
    has changed.
    """
    numbers = kernel.blocks_of(removed)
    for run in kernel.blocks.within(numbers.start, numbers.stop):
        if run.value.state is not BlockState.OFFLINE:
            where = kernel.block_range(run.start)
            kernel.printk(
                f"removing memory fails, because memory [{where.start:#018x}-"
                f"{where.end - 1:#018x}] is onlined"
            )
            raise KernelRefusal(errno.EBUSY, f"memory{run.start} is online")
    node = _last_node(kernel, numbers)
    _forget_poison(kernel, removed)
    for number in numbers:
        if number in kernel.blocks:
            kernel.uevent("remove", f"/devices/system/memory/memory{number}", "memory")
    kernel.blocks.clear(numbers.start, numbers.stop)
    unmap_memory(kernel, removed)
    kernel.iomem.release(removed)
    if node is not None:
        _try_offline_node(kernel, node)


def memmap_pages_in_block(kernel: Kernel, added: PhysRange) -> int:
    """How many pages of each block hold its own memory map; 0 where it lies elsewhere.

    Source: ``mhp_supports_memmap_on_memory()``. Before 6.12 only a range of a
    single block could host it.
    """
    if kernel.settings.memmap_on_memory is MemmapOnMemory.OFF:
        return 0
    several = added.size_bytes != kernel.block_size_bytes
    if several and not kernel.profile.memmap_of_several_blocks:
        return 0
    return kernel.block_size_bytes // SECTION_SIZE_BYTES * MEMMAP_PAGES_PER_SECTION


def _request_region(kernel: Kernel, added: PhysRange, name: str, depth: int) -> None:
    if added.end > _LAST_ADDRESS:
        raise KernelRefusal(errno.E2BIG, "exceeds the maximum addressable range")
    limits = kernel.line.mem_bytes
    if limits and added.end > limits[-1] and not kernel.running:
        raise KernelRefusal(errno.E2BIG, "above mem= while booting")
    if any(
        resource.busy and resource.depth >= depth and resource.range.overlaps(added)
        for resource in kernel.iomem
    ):
        raise KernelRefusal(errno.EEXIST, "something is at these addresses")
    kernel.iomem.insert(Resource(range=added, depth=depth, name=name))


def _check_alignment(kernel: Kernel, added: PhysRange) -> None:
    if added.start % kernel.block_size_bytes or added.size_bytes % kernel.block_size_bytes:
        kernel.printk(
            f"Block size [{kernel.block_size_bytes:#x}] unaligned hotplug range: "
            f"start {added.start:#x}, size {added.size_bytes:#x}"
        )
        raise KernelRefusal(errno.EINVAL, "not aligned to the memory block size")


def _add_resource(kernel: Kernel, added: PhysRange, group: int, *, memmap_on_memory: bool) -> None:
    node = kernel.groups[group].node
    if node not in kernel.possible_nodes:
        raise KernelRefusal(errno.EINVAL, f"node {node} is not possible")
    numbers = kernel.blocks_of(added)
    if kernel.blocks.count(numbers.start, numbers.stop):
        raise KernelRefusal(errno.EEXIST, "a memory block is there already")
    altmap_pages = memmap_pages_in_block(kernel, added) if memmap_on_memory else 0
    hosted_pages = 0
    if altmap_pages:
        map_on_itself(kernel, added, node)
    elif kernel.settings.memmap_on_node:
        hosted_pages = map_on_node(kernel, added)
    else:
        map_memory(kernel, added, node)
    block = Block(
        state=BlockState.OFFLINE,
        node=node,
        links=(node,),
        group=group,
        altmap_pages=altmap_pages,
    )
    kernel.blocks.fill(numbers.start, numbers.stop, block)
    _make_hosts(kernel, numbers.start, block, hosted_pages)
    kernel.max_pfn = max(kernel.max_pfn, pages_of(added.end))
    for number in numbers:
        kernel.uevent("add", f"/devices/system/memory/memory{number}", "memory")
    if node not in kernel.online_nodes:
        kernel.online_nodes.add(node)
        kernel.uevent("add", f"/devices/system/node/node{node}", "node")


def _make_hosts(kernel: Kernel, first: int, block: Block, nr_pages: int) -> None:
    """Set aside the first pages of a device for its structures, block by block."""
    for number in range(first, first + -(-nr_pages // kernel.pages_per_block)):
        here = min(nr_pages, kernel.pages_per_block)
        nr_pages -= here
        host = replace(block, altmap_pages=here, hosts=True)
        kernel.blocks.fill(number, number + 1, host)


def _online_added(kernel: Kernel, added: PhysRange) -> Steps[None]:
    """Bring each block online in order; the first that refuses ends it."""
    if kernel.settings.auto_online is OnlineType.OFFLINE:
        return
    for number in kernel.blocks_of(added):
        arm(kernel, number, kernel.settings.auto_online)
        try:
            yield from device_online(kernel, number)
        except KernelRefusal:
            return
        yield Pause.BETWEEN_BLOCKS


def _last_node(kernel: Kernel, numbers: range) -> NodeId | None:
    runs = list(kernel.blocks.within(numbers.start, numbers.stop))
    return runs[-1].value.node if runs else None


def _forget_poison(kernel: Kernel, removed: PhysRange) -> None:
    """Poisoned pages go with their memory; 6.12 also counts them off."""
    gone = {
        pfn for pfn in kernel.poisoned if pages_of(removed.start) <= pfn < pages_of(removed.end)
    }
    kernel.poisoned -= gone
    if kernel.profile.poison_stops_online:
        kernel.poison_counter -= len(gone)


def _try_offline_node(kernel: Kernel, node: NodeId) -> None:
    """Drop a node with no page spanned, no block left, and no processor."""
    if kernel.node_spanned(node) or node in kernel.firmware.cpu_nodes:
        return
    if any(run.value.node == node for run in kernel.blocks):
        return
    kernel.online_nodes.discard(node)
    kernel.uevent("remove", f"/devices/system/node/node{node}", "node")
