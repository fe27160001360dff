"""Which device has come in the place of one that was taken out.

Inside a machine nobody says that a module was changed: a device is there that
was not. In the same slot it has the old name; elsewhere its address, or its size
and node, tell.
"""

from collections.abc import Iterable

from memhp.core.plan import AwaitDevice
from memhp.core.snapshot import Device


def come_in_place_of(action: AwaitDevice, devices: Iterable[Device]) -> Device | None:
    """The device that has come, with memory; ``None`` while none has.

    The same slot counts more than the same address, and that more than the
    same size on the same node. Any other device is somebody else's.
    """
    here = [d for d in devices if d.present and d.ranges and d.name not in action.others]
    best = min(here, key=lambda device: _likeness(action, device), default=None)
    return None if best is None or _likeness(action, best) == _UNLIKE else best


_UNLIKE = 3


def _likeness(action: AwaitDevice, device: Device) -> int:
    """How far a device is from what is waited for; 0 is the same slot."""
    if device.name == action.device:
        return 0
    if action.address is not None and device.ranges[0].start == action.address:
        return 1
    alike = (device.size_bytes, device.node) == (action.size_bytes, action.node)
    return 2 if alike else _UNLIKE
