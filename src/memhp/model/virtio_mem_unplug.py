"""virtio-mem gives memory back: sub-blocks first, then whole blocks of Linux.

Source: ``virtio_mem_sbm_unplug_request()``, ``virtio_mem_bbm_unplug_request()``,
``offline_and_remove_memory()``.

Model: where something in a block is known to be unmovable or pinned, but not where
in it (the kernel's own pages, what a description says), the block gives back
nothing; the driver would still free its other sub-blocks.
"""

from memhp.core.geometry import pages_of
from memhp.core.ranges import PhysRange
from memhp.core.words import BlockState, OnlineType, ZoneType
from memhp.model.blocks import Block
from memhp.model.devices import VirtioMemDevice
from memhp.model.hot_add import remove_memory
from memhp.model.kernel import Kernel
from memhp.model.offline import device_offline, holds_fast
from memhp.model.online import arm, device_online
from memhp.model.steps import KernelRefusal, Steps


def all_bits(kernel: Kernel, device: VirtioMemDevice) -> int:
    """The bits of a block that is plugged wholly."""
    return (1 << kernel.block_size_bytes // device.sub_block_bytes) - 1


def unplug(kernel: Kernel, device: VirtioMemDevice, size_bytes: int) -> Steps[None]:
    """Give back so many bytes, or as many as can be freed."""
    if device.sub_block_bytes < kernel.block_size_bytes:
        yield from _unplug_parts(kernel, device, size_bytes // device.sub_block_bytes)
    else:
        yield from _unplug_big(kernel, device, size_bytes // device.big_block_bytes)


def remove_empty_blocks(kernel: Kernel, device: VirtioMemDevice) -> Steps[None]:
    """Try again to remove blocks with nothing plugged (``virtio_mem_cleanup_pending_mb()``)."""
    for number in sorted(device.plugged):
        if number in kernel.blocks and device.plugged[number] == 0:
            yield from _offline_and_remove(kernel, range(number, number + 1))


def _unplug_parts(kernel: Kernel, device: VirtioMemDevice, left: int) -> Steps[None]:
    """Offline blocks first, then partly plugged ones, movable before kernel."""
    for rank in range(6):
        for number in sorted(device.plugged, reverse=True):
            if not left:
                return
            if _rank(kernel, device, number) != rank:
                continue
            left -= _free_parts(kernel, device, number, left)
            if device.plugged[number] == 0:
                yield from _offline_and_remove(kernel, range(number, number + 1))


def _rank(kernel: Kernel, device: VirtioMemDevice, number: int) -> int | None:
    """A block's place in the driver's order of unplugging; ``None`` if it is not added."""
    block = kernel.blocks.get(number)
    if block is None:
        return None
    partly = device.plugged[number] != all_bits(kernel, device)
    if block.state is BlockState.OFFLINE:
        return 0 if partly else 1
    movable = block.zone is ZoneType.MOVABLE
    if partly:
        return 2 if movable else 3
    return 4 if movable else 5


def _free_parts(kernel: Kernel, device: VirtioMemDevice, number: int, most: int) -> int:
    """Free up to so many plugged sub-blocks of a block, the highest first.

    One that cannot be freed is passed over.
    """
    block = kernel.blocks.get(number)
    if block is None:
        return 0
    if kernel.pages is not None and block.state is BlockState.ONLINE:
        return _free_parts_of_pages(kernel, device, number, most)
    if holds_fast(kernel, number, block):
        return 0
    held = device.held.get(number, 0) if block.state is BlockState.ONLINE else 0
    free, count = device.plugged[number] & ~held, 0
    while free and count < most:
        highest = 1 << free.bit_length() - 1
        free &= ~highest
        device.plugged[number] &= ~highest
        count += 1
    _unmanage(kernel, block, count * pages_of(device.sub_block_bytes))
    return count


def _free_parts_of_pages(kernel: Kernel, device: VirtioMemDevice, number: int, most: int) -> int:
    """The same where pages are known: a sub-block that cannot be emptied is passed over."""
    block = kernel.blocks.get(number)
    if kernel.pages is None or block is None:
        return 0
    size, count = pages_of(device.sub_block_bytes), 0
    for place in reversed(range(device.plugged[number].bit_length())):
        start = kernel.block_pfn(number) + place * size
        plugged = device.plugged[number] >> place & 1
        if count < most and plugged and kernel.pages.unplug(kernel, start, start + size):
            device.plugged[number] &= ~(1 << place)
            count += 1
    _unmanage(kernel, block, count * size)
    return count


def _unmanage(kernel: Kernel, block: Block, nr_pages: int) -> None:
    if block.state is BlockState.ONLINE and block.zone is not None:
        kernel.zone(block.node, block.zone).managed -= nr_pages


def _unplug_big(kernel: Kernel, device: VirtioMemDevice, left: int) -> Steps[None]:
    """Whole big blocks: offline ones, then movable ones, then any; the highest first."""
    per_unit = device.big_block_bytes // kernel.block_size_bytes
    for attempt in range(3):
        for first in sorted(device.plugged, reverse=True):
            if not left:
                return
            numbers = range(first, first + per_unit)
            if first % per_unit or first not in kernel.blocks:
                continue
            if _big_rank(kernel, numbers) > attempt:
                continue
            if (yield from _remove_big(kernel, device, numbers)):
                left -= 1


def _big_rank(kernel: Kernel, numbers: range) -> int:
    blocks = [kernel.blocks.get(number) for number in numbers]
    online = [b for b in blocks if b is not None and b.state is not BlockState.OFFLINE]
    if not online:
        return 0
    return 1 if all(block.zone is ZoneType.MOVABLE for block in online) else 2


def _remove_big(kernel: Kernel, device: VirtioMemDevice, numbers: range) -> Steps[bool]:
    """Take every page of a big block, then offline and remove it, then unplug it."""
    for number in numbers:
        block = kernel.blocks.get(number)
        if block is None or block.state is BlockState.OFFLINE:
            continue
        if number in device.held or holds_fast(kernel, number, block):
            return False
    removed = yield from _offline_and_remove(kernel, numbers)
    if removed:
        device.plugged |= dict.fromkeys(numbers, 0)
    return removed


def _offline_and_remove(kernel: Kernel, numbers: range) -> Steps[bool]:
    """``offline_and_remove_memory()``: on failure each block goes back to its kind of zone."""
    back: list[tuple[int, OnlineType]] = []
    try:
        for number in numbers:
            block = kernel.blocks.get(number)
            movable = block is not None and block.zone is ZoneType.MOVABLE
            kind = OnlineType.ONLINE_MOVABLE if movable else OnlineType.ONLINE_KERNEL
            if (yield from device_offline(kernel, number)):
                back.append((number, kind))
        size = kernel.block_size_bytes
        remove_memory(kernel, PhysRange(start=numbers.start * size, end=numbers.stop * size))
    except KernelRefusal:
        for number, kind in back:
            arm(kernel, number, kind)
            yield from device_online(kernel, number)
        return False
    return True
