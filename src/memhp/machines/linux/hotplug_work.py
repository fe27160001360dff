"""Whether the kernel is at an ACPI hotplug right now.

A write to ``eject`` is a request that the kernel queues (``acpi_hotplug_schedule()``);
one worker does what is queued, one after the other (``kacpi_hotplug_wq`` is
ordered). While it works, the worker's name says so: ``kworker/…+kacpi_hotplug``
(``wq_worker_comm()``; with ``-`` it names what it did last).
"""

from typing import Final

from memhp.core.errors import MachineError
from memhp.machines.linux.root import Root

_FIRST_THREAD: Final = "proc/2"
_AT_WORK: Final = "+kacpi_hotplug"


def is_hotplug_at_work(root: Root) -> bool | None:
    """Whether an ACPI hotplug is under way; ``None`` where nobody can tell.

    In a container the kernel's threads are not seen, and a saved tree has none.
    A mounted model has done it when the write returns.
    """
    if root.mounted is not None:
        return False
    try:
        if root.text_if_there(f"{_FIRST_THREAD}/comm") != "kthreadd":
            return None
        children = root.text_if_there(f"{_FIRST_THREAD}/task/2/children")
        if not children:
            return None
        return any(_AT_WORK in (_comm(root, pid) or "") for pid in children.split())
    except MachineError:
        return None


def _comm(root: Root, pid: str) -> str | None:
    try:
        return root.text_if_there(f"proc/{pid}/comm")
    except MachineError:
        # It has ended meanwhile (ESRCH).
        return None
