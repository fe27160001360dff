"""virtio-mem: the driver's work when the host asks for another size.

Source: ``virtio_mem_probe()``, ``virtio_mem_run_wq()``,
``virtio_mem_sbm_plug_request()``, ``virtio_mem_bbm_plug_request()``.

Model: the host grants every request; where the driver would wait for its retry
timer, the request ends with what could be done.
"""

from memhp.core.geometry import MIB, pages_of, round_up
from memhp.core.ranges import PhysRange
from memhp.core.words import BlockState, ZoneType
from memhp.model.blocks import MemoryGroup
from memhp.model.devices import VirtioMemDevice
from memhp.model.firmware import VirtioMem
from memhp.model.hot_add import add_memory, register_group
from memhp.model.hotplug_lock import lock_device_hotplug
from memhp.model.iomem import Resource
from memhp.model.kernel import Kernel
from memhp.model.steps import KernelRefusal, Steps
from memhp.model.virtio_mem_hooks import could_add
from memhp.model.virtio_mem_unplug import all_bits, remove_empty_blocks, unplug

_PAGEBLOCK_BYTES = 2 * MIB
RAM_NAME = "System RAM (virtio_mem)"


def probe(kernel: Kernel, found: VirtioMem, index: int) -> Steps[None]:
    """Take a device into use and serve what it asks for.

    A device whose blocks are smaller than Linux's plugs parts of blocks (SBM);
    any other plugs whole *big blocks* (BBM).
    """
    sub_block = max(found.device_block_bytes, _PAGEBLOCK_BYTES)
    big_block = max(found.device_block_bytes, kernel.block_size_bytes)
    in_parts = sub_block < kernel.block_size_bytes
    device = VirtioMemDevice(
        name=found.name,
        index=index,
        region=found.range,
        node=found.node,
        sub_block_bytes=sub_block if in_parts else kernel.block_size_bytes,
        big_block_bytes=big_block,
        next_block=round_up(found.range.start, big_block) // kernel.block_size_bytes,
    )
    device.group = register_group(
        kernel, MemoryGroup(node=found.node, unit_pages=pages_of(big_block))
    )
    kernel.iomem.insert(Resource(range=found.range, depth=0, name=f"virtio{index}", busy=False))
    kernel.virtio_mem[device.name] = device
    if found.requested_bytes:
        yield from resize(kernel, device, found.requested_bytes)


def resize(kernel: Kernel, device: VirtioMemDevice, requested_bytes: int) -> Steps[int]:
    """Serve a requested size; returns the bytes that are plugged in the end."""
    device.requested_bytes = requested_bytes
    device.retry = True
    yield from work_off(kernel)
    return device.plugged_bytes


def work_off(kernel: Kernel) -> Steps[None]:
    """Let every driver that has something to do work until it cannot go on."""
    for device in list(kernel.virtio_mem.values()):
        while device.retry:
            device.retry = False
            device.working = True
            try:
                yield from _work(kernel, device)
            finally:
                device.working = False


def _work(kernel: Kernel, device: VirtioMemDevice) -> Steps[None]:
    """One run of the driver's work queue."""
    yield from lock_device_hotplug(kernel)
    try:
        if kernel.profile.virtio_mem_retries_removal:
            yield from remove_empty_blocks(kernel, device)
        missing = device.requested_bytes - device.plugged_bytes
        if missing > 0:
            yield from _plug(kernel, device, missing)
        elif missing < 0:
            yield from unplug(kernel, device, -missing)
    finally:
        kernel.hotplug_lock = False


def _plug(kernel: Kernel, device: VirtioMemDevice, size_bytes: int) -> Steps[None]:
    """Plug parts of blocks that are there, then unused blocks, then new ones."""
    unit = max(device.sub_block_bytes, _unit(kernel, device))
    left = size_bytes // unit * unit // device.sub_block_bytes
    for number in _partly_plugged(kernel, device):
        left -= _plug_parts(kernel, device, number, left)
        if not left:
            return
    per_unit = device.big_block_bytes // kernel.block_size_bytes
    for first in _unused_blocks(kernel, device, per_unit):
        if not left or not could_add(kernel, device, device.big_block_bytes):
            return
        taken = yield from _add_unit(kernel, device, range(first, first + per_unit), left)
        if not taken:
            return
        left -= taken


def _unit(kernel: Kernel, device: VirtioMemDevice) -> int:
    """The least that the driver plugs: a sub-block, or a big block."""
    in_parts = device.sub_block_bytes < kernel.block_size_bytes
    return device.sub_block_bytes if in_parts else device.big_block_bytes


def _partly_plugged(kernel: Kernel, device: VirtioMemDevice) -> list[int]:
    """Blocks with room for more, in the order of the driver: kernel, movable, offline."""
    full = all_bits(kernel, device)
    partial = [n for n, bits in device.plugged.items() if n in kernel.blocks and bits != full]

    def rank(number: int) -> tuple[int, int]:
        block = kernel.blocks.get(number)
        if block is None or block.state is BlockState.OFFLINE:
            return 2, number
        return int(block.zone is ZoneType.MOVABLE), number

    return sorted(partial, key=rank)


def _plug_parts(kernel: Kernel, device: VirtioMemDevice, number: int, most: int) -> int:
    """Plug up to so many sub-blocks of a block, the lowest first; returns how many."""
    bits = device.plugged[number]
    fresh: list[int] = []
    for sub_block in range(kernel.block_size_bytes // device.sub_block_bytes):
        if len(fresh) < most and not bits >> sub_block & 1:
            bits |= 1 << sub_block
            fresh.append(sub_block)
    device.plugged[number] = bits
    block = kernel.blocks.get(number)
    if block is not None and block.state is BlockState.ONLINE and block.zone is not None:
        size = pages_of(device.sub_block_bytes)
        kernel.zone(block.node, block.zone).managed += len(fresh) * size
        for sub_block in fresh if kernel.pages is not None else []:
            first = kernel.block_pfn(number) + sub_block * size
            kernel.pages.plug(first, first + size)  # type: ignore[union-attr]
    return len(fresh)


def _unused_blocks(kernel: Kernel, device: VirtioMemDevice, per_unit: int) -> list[int]:
    """Where the driver adds next: blocks it gave back, ascending, then new ones."""
    given_back = [n for n in sorted(device.plugged) if n not in kernel.blocks]
    firsts = [n for n in given_back if n % per_unit == 0]
    end = device.region.end // kernel.block_size_bytes
    return firsts + list(range(device.next_block, end - per_unit + 1, per_unit))


def _add_unit(kernel: Kernel, device: VirtioMemDevice, numbers: range, most: int) -> Steps[int]:
    """Plug a block (or a big block) and add it to Linux; returns the sub-blocks taken."""
    before = device.plugged_bytes
    left = most
    for number in numbers:
        device.plugged[number] = 0
        left -= _plug_parts(kernel, device, number, left)
    device.next_block = max(device.next_block, numbers.stop)
    added = PhysRange(
        start=numbers.start * kernel.block_size_bytes, end=numbers.stop * kernel.block_size_bytes
    )
    if device.group is None:
        raise AssertionError("a device that was probed has a group")
    try:
        yield from add_memory(kernel, added, device.group, name=RAM_NAME, merge=True, depth=1)
    except KernelRefusal:
        device.plugged |= dict.fromkeys(numbers, 0)
    return (device.plugged_bytes - before) // device.sub_block_bytes
