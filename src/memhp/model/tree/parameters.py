"""``/sys/module/memory_hotplug/parameters``.

Source: ``module_param_cb()`` and ``module_param()`` in ``mm/memory_hotplug.c``.
"""

import errno
import re

from memhp.core.command_line import parse_bool, parse_uint
from memhp.core.words import OnlinePolicy
from memhp.model.kernel import Kernel
from memhp.model.steps import KernelRefusal
from memhp.model.tree.entries import Directory, File, at_once, directory, word

_TEN_DIGITS = re.compile(r"[1-9][0-9]{9,}")
"""What is no number of 32 bits though it looks like one, is one of more."""


def memory_hotplug_parameters(kernel: Kernel) -> Directory:
    """The four parameters; ``memmap_on_memory`` only reads."""
    settings = kernel.settings
    return directory(
        {
            "auto_movable_numa_aware": File(
                read=lambda: "Y\n" if settings.auto_movable_numa_aware else "N\n",
                write=at_once(lambda written: _store_numa_aware(kernel, written)),
            ),
            "auto_movable_ratio": File(
                read=lambda: f"{settings.auto_movable_ratio}\n",
                write=at_once(lambda written: _store_ratio(kernel, written)),
            ),
            "memmap_on_memory": File(read=lambda: f"{settings.memmap_on_memory}\n"),
            "online_policy": File(
                read=lambda: f"{settings.online_policy}\n",
                write=at_once(lambda written: _store_policy(kernel, written)),
            ),
        }
    )


def _store_policy(kernel: Kernel, written: str) -> None:
    for policy in OnlinePolicy:
        if word(written) == policy:
            kernel.settings.online_policy = policy
            return
    raise KernelRefusal(errno.EINVAL, f"'{word(written)}' is no online policy")


def _store_ratio(kernel: Kernel, written: str) -> None:
    ratio = parse_uint(written)
    if ratio is None:
        too_large = _TEN_DIGITS.fullmatch(word(written)) is not None
        code = errno.ERANGE if too_large else errno.EINVAL
        raise KernelRefusal(code, f"'{word(written)}' is no unsigned number of 32 bits")
    kernel.settings.auto_movable_ratio = ratio


def _store_numa_aware(kernel: Kernel, written: str) -> None:
    aware = parse_bool(written)
    if aware is None:
        raise KernelRefusal(errno.EINVAL, f"'{word(written)}' is no truth value")
    kernel.settings.auto_movable_numa_aware = aware
