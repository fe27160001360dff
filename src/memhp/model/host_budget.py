"""What a host has promised to its guests, and what it can still promise.

Model: guests cost their host nothing until memhp asks; the host's own kernel is
not told of them. So the budget is what the host's kernel manages, less all that
guests may come to use: memory at boot, DIMMs, and of a virtio-mem device what is
requested or plugged, whichever is more.
"""

from collections.abc import Iterable

from memhp.core.snapshot import HostBudget
from memhp.model.firmware import USABLE, Firmware
from memhp.model.kernel import Kernel


def promised_bytes(kernel: Kernel) -> int:
    """What a guest may use as it stands."""
    dimms = sum(slot.size_bytes for slot in kernel.slots.values() if slot.present)
    virtio = sum(max(d.requested_bytes, d.plugged_bytes) for d in kernel.virtio_mem.values())
    return _boot_bytes(kernel.firmware) + dimms + virtio


def promised_at_boot(firmware: Firmware) -> int:
    """What a guest may use once it has booted."""
    dimms = sum(dimm.size_bytes for dimm in firmware.dimms if dimm.present)
    virtio = sum(device.requested_bytes for device in firmware.virtio_mem)
    return _boot_bytes(firmware) + dimms + virtio


def budget_of(name: str, host: Kernel, promised: Iterable[int]) -> HostBudget:
    """The budget of a host of which this much is promised to each guest."""
    return HostBudget(host=name, total_bytes=host.mem_total_bytes(), promised_bytes=sum(promised))


def growth_of_resize(kernel: Kernel, device: str, requested_bytes: int) -> int:
    """How much more a guest may use once a virtio-mem device is asked for so much."""
    found = kernel.virtio_mem[device]
    plugged = found.plugged_bytes
    return max(requested_bytes, plugged) - max(found.requested_bytes, plugged)


def _boot_bytes(firmware: Firmware) -> int:
    return sum(entry.range.size_bytes for entry in firmware.memory_map if entry.kind == USABLE)
