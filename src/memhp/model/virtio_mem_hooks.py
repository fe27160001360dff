"""What the virtio-mem driver adds to onlining and accounting.

Source: ``virtio_mem_memory_notifier_cb()``, ``virtio_mem_online_page()``.
"""

from memhp.core.geometry import GIB, pages_of
from memhp.core.words import BlockState
from memhp.model.devices import VirtioMemDevice
from memhp.model.kernel import Kernel


def device_of(kernel: Kernel, number: int) -> VirtioMemDevice | None:
    """The virtio-mem device that a block belongs to, if any."""
    return next((dev for dev in kernel.virtio_mem.values() if number in dev.plugged), None)


def unplugged_pages(kernel: Kernel, number: int) -> int:
    """How many pages of a block the device has not plugged: present, never managed."""
    device = device_of(kernel, number)
    if device is None:
        return 0
    plugged = device.plugged[number].bit_count()
    return kernel.pages_per_block - plugged * pages_of(device.sub_block_bytes)


def after_online(kernel: Kernel, number: int) -> None:
    """Let the driver go on adding once half of its threshold is online again.

    Not while the driver itself is at work (``MEM_ONLINE``).
    """
    device = device_of(kernel, number)
    if device is not None and not device.working:
        half = offline_threshold(kernel, device) // 2
        device.retry = device.retry or could_add(kernel, device, half)


def offline_threshold(kernel: Kernel, device: VirtioMemDevice) -> int:
    """How many bytes may be offline before the driver stops adding more."""
    return max(GIB, 2 * kernel.block_size_bytes, 2 * device.big_block_bytes)


def could_add(kernel: Kernel, device: VirtioMemDevice, size_bytes: int) -> bool:
    """``virtio_mem_could_add_memory()``: not too much of the device is offline."""
    offline = sum(
        kernel.block_size_bytes
        for number in device.plugged
        if (block := kernel.blocks.get(number)) is not None and block.state is BlockState.OFFLINE
    )
    return offline + size_bytes <= offline_threshold(kernel, device)
