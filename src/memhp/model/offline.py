"""Taking a memory block offline.

Source: ``device_offline()``, ``memory_subsys_offline()``,
``memory_block_offline()``, ``offline_pages()``.
"""

import errno
from dataclasses import replace

from memhp.core.words import BlockState, ZoneType
from memhp.model.blocks import Block
from memhp.model.hosted_structures import structure_of_others
from memhp.model.kernel import Kernel
from memhp.model.kernel_pages import move_structures
from memhp.model.notifiers import GOING_OFFLINE, ask_notifiers
from memhp.model.page_level import Left
from memhp.model.steps import KernelRefusal, Pause, Signal, Steps
from memhp.model.virtio_mem_hooks import unplugged_pages
from memhp.model.zones import Zone


def device_offline(kernel: Kernel, number: int) -> Steps[bool]:
    """Take a block offline; false where it is offline already (then nothing is done).

    Raises ``KernelRefusal``, and then the block is online as before, in its
    zone, and a stored online type is still stored.
    """
    block = kernel.blocks.get(number)
    if block is None:
        raise KernelRefusal(errno.ENOENT, f"there is no memory{number}")
    if block.state is BlockState.OFFLINE:
        return False
    if block.zone is None:
        raise KernelRefusal(errno.EINVAL, "multizone range")
    going = replace(block, state=BlockState.GOING_OFFLINE)
    kernel.blocks.fill(number, number + 1, going)
    try:
        if block.hosts and kernel.settings.migrate_kernel:
            move_structures(kernel, number, block.node)
            # What lies here from now on are pages like any other of the kernel's.
            block = replace(block, hosts=False)
        yield from _offline_pages(kernel, number, block)
    except BaseException:
        kernel.blocks.fill(number, number + 1, block)
        raise
    _go_offline(kernel, number, block)
    kernel.uevent("offline", f"/devices/system/memory/memory{number}", "memory")
    return True


def what_cannot_move(
    kernel: Kernel, number: int, block: Block, *, isolate: bool = False
) -> str | None:
    """Say what in the block ``has_unmovable_pages()`` would stop at, if anything.

    With ``isolate``, its pageblocks are isolated where nothing stands in the way.

    ZONE_MOVABLE holds nothing of the kernel's but what booting left there, by
    ``kernelcore=``: a reserved page is unmovable in any zone.
    """
    reason = kernel.unmovable.get(number)
    if reason is not None:
        return reason
    hosted = structure_of_others(kernel, number) if block.hosts else None
    if hosted is not None:
        return str(hosted)
    if kernel.pages is not None:
        look = kernel.pages.isolate if isolate else kernel.pages.obstacle
        found = look(*kernel.block_pfns(number), kernel.poisoned_in(number))
        if found is not None and isolate:
            kernel.printk(f"page dumped because: unmovable page, pfn {found.pfn:#x}")
        return None if found is None else str(found)
    own = kernel.hosted.get(number) or 0
    reserved = block.early and block.zone is ZoneType.MOVABLE
    if own and (reserved or (kernel.own_pages_block and block.zone is not ZoneType.MOVABLE)):
        return f"{own} page{'' if own == 1 else 's'} of the kernel"
    return None


def holds_fast(kernel: Kernel, number: int, block: Block) -> bool:
    """Whether whoever allocates the block's range gives up (``alloc_contig_range()``)."""
    return number in kernel.pinned or what_cannot_move(kernel, number, block) is not None


def _offline_pages(kernel: Kernel, number: int, block: Block) -> Steps[None]:
    """Everything that may refuse, in the kernel's order."""
    if kernel.iomem.ram_pages(kernel.block_range(number)) != kernel.pages_per_block:
        raise KernelRefusal(errno.EINVAL, "memory holes")
    obstacle = what_cannot_move(kernel, number, block, isolate=True)
    if obstacle is not None:
        raise KernelRefusal(errno.EBUSY, f"failure to isolate range: {obstacle}")
    left = Left()
    try:
        yield Pause.GOING_OFFLINE
        ask_notifiers(kernel, GOING_OFFLINE)
        yield Pause.MIGRATING
        # A pinned page is no obstacle until it has to move, and then for ever:
        # ``folio_migrate_mapping()`` answers EAGAIN, and nothing counts how often.
        while number in kernel.pinned:
            yield Pause.RETRYING
        while kernel.pages is not None:
            left = kernel.pages.move_out(kernel, *kernel.block_pfns(number))
            if left.nothing:
                break
            yield Pause.MIGRATING if left.moved else Pause.RETRYING
    except BaseException as err:
        if kernel.pages is not None:
            kernel.pages.put_back(*kernel.block_pfns(number))
        if not isinstance(err, Signal):
            raise
        raise KernelRefusal(errno.EINTR, _backoff(kernel, number, left)) from None


def _backoff(kernel: Kernel, number: int, left: Left) -> str:
    what = kernel.pinned.get(number)
    if what is not None:
        return f"signal backoff: pages are pinned, and the kernel would try for ever: {what}"
    return "signal backoff" if left.nothing else f"signal backoff: {left}"


def _go_offline(kernel: Kernel, number: int, block: Block) -> None:
    """Take the block's pages from the allocator and its zone."""
    if block.zone is None:
        raise AssertionError("a block without a zone cannot have come here")
    zone = kernel.zone(block.node, block.zone)
    nr_pages = kernel.pages_per_block
    zone.present -= nr_pages
    if block.early:
        zone.present_early -= nr_pages
    zone.managed -= _managed_in(kernel, number, block)
    if block.group is not None:
        kernel.groups[block.group].account(block.zone, -nr_pages)
    _leave_zone(kernel, number, block, zone)
    kernel.blocks.fill(number, number + 1, replace(block, state=BlockState.OFFLINE, zone=None))
    if kernel.pages is not None:
        kernel.pages.leave(*kernel.block_pfns(number))
        kernel.pages.refresh(kernel)


def _managed_in(kernel: Kernel, number: int, block: Block) -> int:
    """How many of the block's pages the allocator had."""
    boot_pages = (kernel.hosted.get(number) or 0) if block.early else 0
    if kernel.pages is not None:
        boot_pages = kernel.reserved.count(*kernel.block_pfns(number))
    own = min(boot_pages, kernel.pages_per_block)
    return kernel.pages_per_block - block.altmap_pages - unplugged_pages(kernel, number) - own


def _leave_zone(kernel: Kernel, number: int, block: Block, zone: Zone) -> None:
    """Unlink the pages and narrow the span; the block's own memory map leaves last."""
    start = kernel.block_pfn(number)
    end = start + kernel.pages_per_block
    zone.linked.clear(start, end)
    zone.shrink(start + block.altmap_pages, end)
    if block.altmap_pages:
        zone.shrink(start, start + block.altmap_pages)
