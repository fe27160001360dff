"""Devices that the kernel finds when the rest of it has started."""

from memhp.model.acpi_memory import plug_in
from memhp.model.devices import DimmSlot
from memhp.model.kernel import Kernel
from memhp.model.steps import Steps, run
from memhp.model.virtio_mem import probe


def bring_up_devices(kernel: Kernel) -> None:
    """Add the DIMMs and virtio-mem devices that are there at boot, in order."""
    run(_bring_up(kernel))


def _bring_up(kernel: Kernel) -> Steps[None]:
    for index, dimm in enumerate(kernel.firmware.dimms):
        slot = DimmSlot(
            name=dimm.name,
            index=index,
            size_bytes=dimm.size_bytes,
            node=dimm.node,
            start=dimm.start,
        )
        kernel.slots[slot.name] = slot
        if dimm.present:
            yield from plug_in(kernel, slot)
    kernel.running = True
    for index, device in enumerate(kernel.firmware.virtio_mem):
        yield from probe(kernel, device, index)
