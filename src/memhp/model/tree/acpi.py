"""ACPI as sysfs shows it: the firmware's tables, and memory devices with ``eject``.

Source: ``drivers/acpi/sysfs.c``, ``drivers/acpi/device_sysfs.c``.
"""

import errno
from collections.abc import Iterable

from memhp.model.acpi_memory import eject
from memhp.model.acpi_tables import table_bytes, table_names
from memhp.model.devices import DimmSlot
from memhp.model.kernel import Kernel
from memhp.model.steps import KernelRefusal, Steps
from memhp.model.tree.entries import Directory, Entry, File, Link, text

_STA_PRESENT = 15


def acpi_firmware(kernel: Kernel) -> Directory:
    """``/sys/firmware/acpi`` with its tables."""
    tables: dict[str, Entry] = {
        name: File(read=lambda name=name: table_bytes(kernel.firmware, name), is_private=True)  # type: ignore[misc]
        for name in table_names(kernel.firmware)
    }
    folder = Directory(names=lambda: tables, child=tables.get)
    return Directory(
        names=lambda: ["tables"], child=lambda name: folder if name == "tables" else None
    )


def acpi_devices(kernel: Kernel) -> Directory:
    """``/sys/bus/acpi/devices``: one ``PNP0C80:NN`` a DIMM slot."""

    def names() -> Iterable[str]:
        return [slot.acpi_name for slot in kernel.slots.values()]

    def child(name: str) -> Entry | None:
        for slot in kernel.slots.values():
            if slot.acpi_name == name:
                return _device(kernel, slot)
        return None

    return Directory(names=names, child=child)


def _device(kernel: Kernel, slot: DimmSlot) -> Directory:
    entries: dict[str, Entry] = {
        "eject": File(write=lambda written: _store_eject(kernel, slot, written)),
        "hid": text("PNP0C80\n"),
        "modalias": text("acpi:PNP0C80:\n"),
        "path": text(f"\\_SB_.MHPC.MP{slot.index:02X}\n"),
        "status": File(read=lambda: f"{_STA_PRESENT if slot.present else 0}\n"),
        "uid": text(f"0x{slot.index:02X}\n"),
    }
    if slot.enabled:
        for place, number in enumerate(kernel.blocks_of(slot.range)):
            name = "physical_node" + (str(place) if place else "")
            entries[name] = Link(target=f"../../../../devices/system/memory/memory{number}")
    return Directory(names=lambda: sorted(entries), child=entries.get)


def _store_eject(kernel: Kernel, slot: DimmSlot, written: str) -> Steps[None]:
    """``eject_store()``: the write ends well even where the eject does not.

    Model: the work that the kernel queues is done before the write returns;
    the verdict is read back from ``status`` and from the blocks, as on Linux.
    """
    if not written.startswith("1"):
        raise KernelRefusal(errno.EINVAL, "write 1 to eject")
    if not slot.present:
        raise KernelRefusal(errno.ENODEV, f"the slot of {slot.name} is empty")
    yield from eject(kernel, slot)
