"""What a person can really pull out, beside what they asked about. Pure."""

from collections.abc import Iterable, Iterator

from memhp.core.ranges import PhysRange
from memhp.core.snapshot import Device, Snapshot
from memhp.core.targets import Addresses, DeviceTarget, Target
from memhp.core.words import DeviceKind


def hardware_note(targets: Iterable[Target], snapshot: Snapshot) -> tuple[str, ...]:
    """Say which unit of hardware an address or a device stands for; each thing once.

    Memory controllers spread addresses over the channels of a socket, a few
    hundred bytes each in turn, so an address does not lead to one DIMM, and one
    DIMM has a part of nearly every block.
    """
    return tuple(dict.fromkeys(_notes(targets, snapshot)))


def _notes(targets: Iterable[Target], snapshot: Snapshot) -> Iterator[str]:
    by_name = {device.name: device for device in snapshot.devices}
    for target in targets:
        match target:
            case DeviceTarget(name=name) if name in by_name:
                yield _of_device(by_name[name])
            case Addresses(range=wanted):
                device = _device_at(wanted, snapshot)
                yield _of_boot_memory() if device is None else _of_device(device)


def _device_at(wanted: PhysRange, snapshot: Snapshot) -> Device | None:
    for device in snapshot.devices:
        if any(part.overlaps(wanted) for part in device.ranges):
            return device
    return None


def _of_device(device: Device) -> str:
    if device.kind is DeviceKind.DIMM:
        return (
            f"{device.name} is removed whole, as the firmware describes it: under a hypervisor "
            "one virtual DIMM, on a server a riser or all memory of a node, never one DIMM of an "
            "interleaved set"
        )
    return f"{device.name} is removed whole ({device.kind})"


def _of_boot_memory() -> str:
    return (
        "this memory belongs to no device that can be removed; where channels are interleaved, "
        "one DIMM lies in nearly every block of its socket, and what can be replaced is a node, "
        "a riser or a CXL device"
    )
