"""``/proc/vmstat``: what the kernel has counted since boot."""

import re
from collections.abc import Mapping

from memhp.machines.linux.root import Root

_ROW = re.compile(r"^(\w+) ([0-9]{1,20})$", re.MULTILINE)


def read_vmstat(root: Root) -> Mapping[str, int]:
    """Every counter by its name; none where there is no such file. Raises ``MachineError``."""
    return {
        name: int(value) for name, value in _ROW.findall(root.text_if_there("proc/vmstat") or "")
    }
