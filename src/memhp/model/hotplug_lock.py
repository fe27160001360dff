"""``device_hotplug_lock``: one change of devices at a time."""

from memhp.model.kernel import Kernel
from memhp.model.steps import Pause, Steps


def lock_device_hotplug(kernel: Kernel) -> Steps[None]:
    """Wait for the lock and take it; whoever does must clear ``kernel.hotplug_lock``.

    A writer of sysfs sleeps 5 ms and tries again until it is free
    (``lock_device_hotplug_sysfs()``).
    """
    while kernel.hotplug_lock:
        yield Pause.LOCK
    kernel.hotplug_lock = True
