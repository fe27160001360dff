"""``MemAvailable`` from ``/proc/meminfo``: what a machine could do without."""

import re

from memhp.core.geometry import KIB
from memhp.machines.linux.root import Root

_AVAILABLE = re.compile(r"^MemAvailable:\s+(\d+) kB", re.MULTILINE)


def read_available(root: Root) -> int | None:
    """In bytes; ``None`` where the kernel does not say. Raises ``MachineError``."""
    found = _AVAILABLE.search(root.text_if_there("proc/meminfo") or "")
    return None if found is None else int(found[1]) * KIB
