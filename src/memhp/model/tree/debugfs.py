"""``/sys/kernel/debug/notifier-error-inject``: errors for the memory notifiers.

Source: ``lib/notifier-error-inject.c``, ``debugfs_errno_set()``.
"""

import errno

from memhp.model.kernel import Kernel
from memhp.model.notifiers import INJECTABLE
from memhp.model.steps import KernelRefusal
from memhp.model.tree.entries import Directory, File, at_once, directory, word

_MAX_ERRNO = 4095


def notifier_errors(kernel: Kernel) -> Directory:
    """One ``error`` file for each event that can be made to fail."""
    actions = {event: directory({"error": _error_file(kernel, event)}) for event in INJECTABLE}
    return directory({"memory": directory({"actions": directory(actions)})})


def _error_file(kernel: Kernel, event: str) -> File:
    return File(
        read=lambda: f"{kernel.notifier_errors.get(event, 0)}\n",
        write=at_once(lambda written: _store(kernel, event, written)),
        is_private=True,
    )


def _store(kernel: Kernel, event: str, written: str) -> None:
    try:
        error = int(word(written), 0)
    except ValueError:
        raise KernelRefusal(errno.EINVAL, f"'{word(written)}' is no number") from None
    # What is no negative errno is made one, and no error is said.
    kernel.notifier_errors[event] = max(-_MAX_ERRNO, min(0, error))
