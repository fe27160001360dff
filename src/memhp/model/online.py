"""Bringing a memory block online.

Source: ``device_online()``, ``memory_subsys_online()``,
``memory_block_online()``, ``online_pages()``.
"""

import errno
from dataclasses import replace

from memhp.core.errno_names import EHWPOISON
from memhp.core.words import BlockState, OnlineType, ZoneType
from memhp.model.blocks import Block
from memhp.model.kernel import Kernel
from memhp.model.notifiers import GOING_ONLINE, ask_notifiers
from memhp.model.steps import KernelRefusal, Pause, Steps
from memhp.model.virtio_mem_hooks import after_online, unplugged_pages
from memhp.model.zone_choice import zone_for
from memhp.model.zones import Zone


def device_online(kernel: Kernel, number: int) -> Steps[bool]:
    """Bring a block online; false where it is online already (then nothing is done).

    An online type that is stored stays stored until a real attempt, and every
    attempt, successful or not, uses it up. Raises ``KernelRefusal``.
    """
    block = _block(kernel, number)
    if block.state is not BlockState.OFFLINE:
        return False
    armed = block.armed if block.armed is not OnlineType.OFFLINE else OnlineType.ONLINE
    try:
        yield from _memory_block_online(kernel, number, replace(block, armed=armed))
    except KernelRefusal:
        disarm(kernel, number)
        raise
    kernel.uevent("online", f"/devices/system/memory/memory{number}", "memory")
    after_online(kernel, number)
    return True


def arm(kernel: Kernel, number: int, online_type: OnlineType) -> None:
    """Store the online type that the next attempt will use (``mem->online_type``)."""
    block = _block(kernel, number)
    kernel.blocks.fill(number, number + 1, replace(block, armed=online_type))


def disarm(kernel: Kernel, number: int) -> None:
    """Forget a stored online type."""
    arm(kernel, number, OnlineType.OFFLINE)


def _memory_block_online(kernel: Kernel, number: int, block: Block) -> Steps[None]:
    if kernel.profile.poison_stops_online and kernel.poisoned_in(number):
        raise KernelRefusal(EHWPOISON, "the block holds a poisoned page")
    zone = kernel.zone(block.node, zone_for(kernel, number, block, block.armed))
    _check_adjacency(kernel, number, zone)
    start, nr_pages = kernel.block_pfn(number), kernel.pages_per_block
    zone.grow(start, nr_pages)
    try:
        yield Pause.GOING_ONLINE
        ask_notifiers(kernel, GOING_ONLINE)
    except KernelRefusal:
        _unspan(zone, start, nr_pages, block.altmap_pages)
        raise
    _go_online(kernel, number, block, zone)


def _go_online(kernel: Kernel, number: int, block: Block, zone: Zone) -> None:
    """Hand the block's pages to the allocator; from here nothing can fail."""
    start, nr_pages = kernel.block_pfn(number), kernel.pages_per_block
    was_populated = zone.populated
    zone.linked.add(start, start + nr_pages)
    zone.present += nr_pages
    if block.early:
        zone.present_early += nr_pages
    zone.managed += nr_pages - block.altmap_pages - unplugged_pages(kernel, number)
    if block.group is not None:
        kernel.groups[block.group].account(zone.zone, nr_pages)
    kernel.blocks.fill(
        number,
        number + 1,
        replace(block, state=BlockState.ONLINE, zone=zone.zone, armed=OnlineType.OFFLINE),
    )
    if kernel.pages is not None:
        if not kernel.profile.poison_stops_online:
            # The page structures are made anew, and nobody remembers.
            kernel.poisoned.difference_update(kernel.poisoned_in(number))
        kernel.pages.enter(kernel, zone.node, zone.zone, start, start + nr_pages)
        kernel.pages.refresh(kernel)
    if not was_populated:
        _announce_zonelists(kernel)


def _unspan(zone: Zone, start: int, nr_pages: int, altmap_pages: int) -> None:
    """Take a range that never came online out of the span again.

    Its own memory map, where it has one, is taken out after the rest.
    """
    end = start + nr_pages
    zone.shrink(start + altmap_pages, end)
    if altmap_pages:
        zone.shrink(start, start + altmap_pages)


def _check_adjacency(kernel: Kernel, number: int, zone: Zone) -> None:
    """Kernels before 4.13 kept zones apart: Movable may not lie below a kernel zone's end.

    Model: from reports; the old rule (``move_pfn_range_left()`` and
    ``…_right()``) moved a border, here the block must lie beyond it.
    """
    if not kernel.profile.movable_must_be_adjacent:
        return
    start = kernel.block_pfn(number)
    movable = kernel.zone(zone.node, ZoneType.MOVABLE)
    if zone.zone is ZoneType.MOVABLE:
        others = [z for z in kernel.node_zones(zone.node) if z.zone.holds_kernel_memory]
        if any(z.spanned and z.end_pfn > start for z in others):
            raise KernelRefusal(errno.EINVAL, "ZONE_MOVABLE must lie above the kernel's zones")
    elif movable.spanned and movable.start_pfn < start:
        raise KernelRefusal(errno.EINVAL, "the kernel's zones must lie below ZONE_MOVABLE")


def _announce_zonelists(kernel: Kernel) -> None:
    """``build_all_zonelists()`` says what it did."""
    nodes = sum(1 for node in kernel.online_nodes if kernel.node_present(node))
    total = sum(zone.managed for zone in kernel.zones.values())
    kernel.printk(f"Built {nodes} zonelists, mobility grouping on.  Total pages: {total}")


def _block(kernel: Kernel, number: int) -> Block:
    block = kernel.blocks.get(number)
    if block is None:
        raise KernelRefusal(errno.ENOENT, f"there is no memory{number}")
    return block
