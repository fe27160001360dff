"""DIMMs behind ACPI: the add notification, the eject request, and their rollback.

Source: ``acpi_memory_enable_device()``, ``acpi_scan_try_to_offline()``,
``acpi_bus_offline()``, ``acpi_scan_hot_remove()``.
"""

import errno
from dataclasses import dataclass
from enum import IntEnum

from memhp.core.geometry import pages_of
from memhp.model.blocks import MemoryGroup
from memhp.model.devices import DimmSlot
from memhp.model.hot_add import add_memory, register_group, remove_memory
from memhp.model.hotplug_lock import lock_device_hotplug
from memhp.model.kernel import Kernel
from memhp.model.offline import device_offline
from memhp.model.online import device_online
from memhp.model.steps import KernelRefusal, Pause, Steps


class Ost(IntEnum):
    """``_OST`` status codes that the kernel reports to the firmware."""

    SUCCESS = 0x00
    NON_SPECIFIC_FAILURE = 0x01
    EJECT_NOT_SUPPORTED = 0x80
    DEVICE_IN_USE = 0x82
    EJECT_IN_PROGRESS = 0x84


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How an add or an eject request ended; ``refusal`` says why where it did not work."""

    ost: Ost
    refusal: KernelRefusal | None = None


def plug_in(kernel: Kernel, slot: DimmSlot) -> Steps[Verdict]:
    """A DIMM appears in its slot and the kernel is told.

    The firmware hears success even where the kernel rejects the memory; the
    verdict keeps the reason. The DIMM then sits there, unused.
    """
    yield from lock_device_hotplug(kernel)
    try:
        slot.present = True
        refusal = yield from _enable(kernel, slot)
    finally:
        kernel.hotplug_lock = False
    return Verdict(ost=Ost.SUCCESS, refusal=refusal)


def eject(kernel: Kernel, slot: DimmSlot) -> Steps[Verdict]:
    """Carry out an eject request: blocks offline, memory removed, DIMM out.

    Where a block cannot go offline, those that did come online again *as plain
    online or by a stored type*, so a movable block may come back in a kernel
    zone.
    """
    if not slot.present:
        return Verdict(ost=Ost.NON_SPECIFIC_FAILURE)
    if not kernel.profile.hot_remove:
        return Verdict(
            ost=Ost.EJECT_NOT_SUPPORTED,
            refusal=KernelRefusal(errno.ENOSYS, "this kernel has no hot remove"),
        )
    yield from lock_device_hotplug(kernel)
    try:
        if slot.enabled:
            refusal = yield from _take_offline(kernel, slot)
            if refusal is not None:
                return Verdict(ost=Ost.DEVICE_IN_USE, refusal=refusal)
            remove_memory(kernel, slot.range)
            _unregister(kernel, slot)
        slot.present = False
    finally:
        kernel.hotplug_lock = False
    return Verdict(ost=Ost.SUCCESS)


def _enable(kernel: Kernel, slot: DimmSlot) -> Steps[KernelRefusal | None]:
    """``acpi_memory_enable_device()``: EEXIST counts as success, for RAM known from boot."""
    try:
        slot.group = register_group(
            kernel, MemoryGroup(node=slot.node, max_pages=pages_of(slot.size_bytes))
        )
    except KernelRefusal as refusal:
        return refusal
    try:
        yield from add_memory(kernel, slot.range, slot.group, memmap_on_memory=True)
    except KernelRefusal as refusal:
        if refusal.errno != errno.EEXIST:
            kernel.printk("add_memory failed")
            kernel.printk("acpi_memory_enable_device() error")
            _unregister(kernel, slot)
            return refusal
    slot.enabled = True
    return None


def _unregister(kernel: Kernel, slot: DimmSlot) -> None:
    if slot.group is not None:
        kernel.groups.pop(slot.group, None)
    slot.group = None
    slot.enabled = False


def _take_offline(kernel: Kernel, slot: DimmSlot) -> Steps[KernelRefusal | None]:
    """Two passes over the blocks; what refuses twice ends in the rollback."""
    numbers = [n for n in kernel.blocks_of(slot.range) if n in kernel.blocks]
    went: set[int] = set()
    first = yield from _pass(kernel, numbers, went, stop=False)
    if first is None:
        return None
    second = yield from _pass(kernel, [n for n in numbers if n not in went], went, stop=True)
    if second is None:
        return None
    number, refusal = second
    kernel.printk(f"memory memory{number}: Offline failed.")
    for back in sorted(went):
        try:
            yield from device_online(kernel, back)
        except KernelRefusal:
            continue
    return refusal


def _pass(
    kernel: Kernel, numbers: list[int], went: set[int], *, stop: bool
) -> Steps[tuple[int, KernelRefusal] | None]:
    """Take blocks offline; returns the last one that refused."""
    failed: tuple[int, KernelRefusal] | None = None
    for number in numbers:
        try:
            if (yield from device_offline(kernel, number)):
                went.add(number)
        except KernelRefusal as refusal:
            failed = number, refusal
            if stop:
                break
        yield Pause.BETWEEN_BLOCKS
    return failed
