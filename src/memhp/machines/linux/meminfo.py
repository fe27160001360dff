"""``/proc/meminfo``: what a machine has, and could do without."""

import re
from collections.abc import Mapping

from memhp.core.geometry import KIB
from memhp.machines.linux.root import Root

_ROW = re.compile(r"^(\w+): +([0-9]{1,15}) kB$", re.MULTILINE)


def read_meminfo(root: Root) -> Mapping[str, int]:
    """Every amount by its name, in bytes; none where there is no such file.

    Raises ``MachineError``.
    """
    text = root.text_if_there("proc/meminfo") or ""
    return {name: int(amount) * KIB for name, amount in _ROW.findall(text)}


def read_available(root: Root) -> int | None:
    """``MemAvailable``; ``None`` where the kernel does not say. Raises ``MachineError``."""
    return read_meminfo(root).get("MemAvailable")
