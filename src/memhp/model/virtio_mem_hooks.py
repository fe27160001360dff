"""What the virtio-mem driver has to say when a block changes (its memory notifier).

Source: ``virtio_mem_memory_notifier_cb()``.
"""

from memhp.core.words import ZoneType
from memhp.model.kernel import Kernel


def unplugged_pages(kernel: Kernel, number: int) -> int:
    """How many pages of a block the device has not plugged: present, never managed."""
    for device in kernel.virtio_mem.values():
        plugged = device.plugged.get(number)
        if plugged is not None:
            return kernel.pages_per_block - plugged
    return 0


def ask_virtio_mem_online(kernel: Kernel, number: int, zone: ZoneType) -> None:
    """Veto onlining where the driver does not want it."""


def ask_virtio_mem_offline(kernel: Kernel, number: int) -> None:
    """Veto offlining where the driver does not want it."""
