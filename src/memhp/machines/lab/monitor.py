"""The monitor of a lab guest."""

from collections.abc import Iterator
from contextlib import contextmanager

from memhp.machines.lab.guest import Guest
from memhp.machines.qemu.monitor import Monitor, open_monitor


@contextmanager
def monitor_of(guest: Guest) -> Iterator[Monitor]:
    """Talk to a guest's monitor; raises ``NotSupported`` without the library, ``ContactLost``."""
    with open_monitor(guest.monitor_path(), f"lab:{guest.name}") as monitor:
        yield monitor
