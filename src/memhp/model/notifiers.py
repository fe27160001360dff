"""Memory notifiers: who may veto a change, and the errors that a test injects.

Source: ``memory_notify()``; the injection is
``drivers/base/../lib/memory-notifier-error-inject.c`` under
``/sys/kernel/debug/notifier-error-inject/memory/actions``.
"""

from typing import Final

from memhp.model.kernel import Kernel
from memhp.model.steps import KernelRefusal

GOING_ONLINE: Final = "MEM_GOING_ONLINE"
GOING_OFFLINE: Final = "MEM_GOING_OFFLINE"
INJECTABLE: Final = (GOING_ONLINE, GOING_OFFLINE)


def ask_notifiers(kernel: Kernel, event: str) -> None:
    """Let the notifiers hear of an event; raises ``KernelRefusal`` where one vetoes."""
    error = kernel.notifier_errors.get(event, 0)
    if error:
        kernel.printk(f"Injecting error ({error}) to {event}")
        raise KernelRefusal(-error, "notifier failure")
