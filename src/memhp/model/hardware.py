"""The hands at the machine: a DIMM is put into a slot, or taken out of it."""

from memhp.core.geometry import GIB, NodeId, round_up
from memhp.core.ranges import PhysRange
from memhp.model.devices import DimmSlot
from memhp.model.firmware import USABLE
from memhp.model.kernel import Kernel


def new_dimm(kernel: Kernel, name: str, size_bytes: int, node: NodeId) -> DimmSlot:
    """Put a new DIMM into the lowest free slot and give it an address."""
    used = {slot.index for slot in kernel.slots.values()}
    index = next(number for number in range(len(used) + 1) if number not in used)
    slot = DimmSlot(name=name, index=index, size_bytes=size_bytes, node=node)
    kernel.slots[name] = slot
    give_address(kernel, slot)
    return slot


def give_address(kernel: Kernel, slot: DimmSlot) -> None:
    """Give a DIMM the lowest free addresses behind boot memory, aligned as QEMU aligns them.

    A module keeps the address that it has. Model: one GiB, or the memory block
    size where that is larger, so that every block lies in one module.
    """
    if slot.start is not None:
        return
    step = max(GIB, kernel.block_size_bytes)
    taken = sorted(_taken(kernel))
    start = round_up(_first_free(kernel), step)
    for other in taken:
        if other.overlaps(PhysRange.at(start, slot.size_bytes)):
            start = round_up(other.end, step)
    slot.start = start


def _first_free(kernel: Kernel) -> int:
    if kernel.firmware.hotplug_window is not None:
        return kernel.firmware.hotplug_window.start
    usable = [entry.range.end for entry in kernel.firmware.memory_map if entry.kind == USABLE]
    return max(4 * GIB, *usable)


def _taken(kernel: Kernel) -> list[PhysRange]:
    dimms = [slot.range for slot in kernel.slots.values() if slot.start is not None]
    return dimms + [device.region for device in kernel.virtio_mem.values()]
