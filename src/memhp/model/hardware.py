"""The hands at the machine: a DIMM is put into a slot, or taken out of it."""

from memhp.core.geometry import GIB, NodeId, round_up
from memhp.core.ranges import PhysRange
from memhp.model.devices import DimmSlot
from memhp.model.firmware import USABLE
from memhp.model.kernel import Kernel


class DoesNotFit(Exception):
    """There is no slot, or no address, for one more DIMM: the machine's no, not the kernel's."""


def new_dimm(
    kernel: Kernel, name: str, size_bytes: int, node: NodeId, address: int | None = None
) -> DimmSlot:
    """Put a new DIMM into the lowest free slot; raises ``DoesNotFit``.

    It gets the address that is asked for, or the lowest that is free.
    """
    used = {slot.index for slot in kernel.slots.values()}
    slots = kernel.firmware.nr_slots
    if slots is not None and len(used) >= slots:
        has = f"{slots} DIMM slots, and none is free" if slots else "no DIMM slot"
        raise DoesNotFit(f"the machine has {has}")
    index = next(number for number in range(len(used) + 1) if number not in used)
    slot = DimmSlot(name=name, index=index, size_bytes=size_bytes, node=node, start=address)
    if address is not None:
        _check_address(kernel, slot)
    give_address(kernel, slot)
    kernel.slots[name] = slot
    return slot


def give_address(kernel: Kernel, slot: DimmSlot) -> None:
    """Give a DIMM the lowest free addresses behind boot memory, aligned as QEMU aligns them.

    A module keeps the address that it has; raises ``DoesNotFit``.

    Model: aligned to one GiB, or to the memory block size where that is larger,
    so that every block lies in one module.
    """
    if slot.start is not None:
        return
    step = max(GIB, kernel.block_size_bytes)
    taken = sorted(taken_addresses(kernel))
    start = round_up(_first_free(kernel), step)
    for other in taken:
        if other.overlaps(PhysRange.at(start, slot.size_bytes)):
            start = round_up(other.end, step)
    window = kernel.firmware.hotplug_window
    if window is not None and start + slot.size_bytes > window.end:
        raise DoesNotFit(f"the addresses for memory that comes later end at {window.end:#x}")
    slot.start = start


def _check_address(kernel: Kernel, slot: DimmSlot) -> None:
    window = kernel.firmware.hotplug_window
    inside = window is None or (window.start <= slot.range.start and slot.range.end <= window.end)
    if not inside or any(part.overlaps(slot.range) for part in taken_addresses(kernel)):
        raise DoesNotFit(f"{slot.range} is taken, or not for memory that comes later")


def _first_free(kernel: Kernel) -> int:
    if kernel.firmware.hotplug_window is not None:
        return kernel.firmware.hotplug_window.start
    usable = [entry.range.end for entry in kernel.firmware.memory_map if entry.kind == USABLE]
    return max(4 * GIB, *usable)


def taken_addresses(kernel: Kernel) -> list[PhysRange]:
    """The addresses of every device, of those that wait in a slot too."""
    dimms = [slot.range for slot in kernel.slots.values() if slot.start is not None]
    return dimms + [device.region for device in kernel.virtio_mem.values()]
