"""A guest that does not answer its host: it is stopped, busy, or ignores what it is asked.

Nothing here has a clock. A description says after how many further changes of
the machine the guest comes round to what it was asked, or that it never does.
"""

from collections.abc import Iterator
from typing import Final

from memhp.model.acpi_memory import eject
from memhp.model.devices import DimmSlot, VirtioMemDevice
from memhp.model.kernel import Kernel
from memhp.model.steps import Steps
from memhp.model.virtio_mem import resize

NEVER: Final = -1


def is_silent(device: DimmSlot | VirtioMemDevice) -> bool:
    """Whether what is asked about the device now waits; if so, it has been asked."""
    if device.waits is None and device.answers_after:
        device.waits = device.answers_after
    return device.waits is not None


def come_round(kernel: Kernel) -> Steps[None]:
    """One more change was made: let the guest do what it has been silent about long enough."""
    for device in list(_waiting(kernel)):
        if device.waits is None or device.waits == NEVER:
            continue
        device.waits -= 1
        if device.waits:
            continue
        device.waits = None
        if isinstance(device, DimmSlot):
            verdict = yield from eject(kernel, device)
            device.verdict = None if verdict.refusal is None else str(verdict.refusal)
        else:
            yield from resize(kernel, device, device.requested_bytes)


def _waiting(kernel: Kernel) -> Iterator[DimmSlot | VirtioMemDevice]:
    yield from (slot for slot in kernel.slots.values() if slot.waits is not None)
    yield from (device for device in kernel.virtio_mem.values() if device.waits is not None)
