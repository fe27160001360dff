"""The monitor of a lab guest, and the names that QEMU has for its devices."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from memhp.core.snapshot import Device
from memhp.machines.lab.guest import Guest
from memhp.machines.qemu.monitor import Monitor, open_monitor


@contextmanager
def monitor_of(guest: Guest) -> Iterator[Monitor]:
    """Talk to a guest's monitor; raises ``NotSupported`` without the library, ``ContactLost``."""
    with open_monitor(guest.monitor_path(), f"lab:{guest.name}") as monitor:
        yield monitor


def named_as_qemu_does(devices: tuple[Device, ...], names: Mapping[int, str]) -> tuple[Device, ...]:
    """Give the guest's ACPI devices the names by which the host knows them."""
    return tuple(
        replace(device, name=names[device.ranges[0].start])
        if device.ranges and device.ranges[0].start in names
        else device
        for device in devices
    )
