"""Memory pressure, as the kernel measures it (PSI, ``/proc/pressure/memory``)."""

import re

from memhp.core.errors import MachineError
from memhp.machines.linux.root import Root

_FULL = re.compile(r"^full avg10=([0-9]{1,3}\.[0-9]{2}) ", re.MULTILINE)


def read_pressure(root: Root) -> float | None:
    """The share of the last ten seconds in which no task got on for want of memory, in percent.

    ``None`` where the kernel does not measure it (``CONFIG_PSI``, ``psi=0``).
    """
    try:
        text = root.text_if_there("proc/pressure/memory") or ""
    except MachineError:
        # Switched off at boot, the file is there and cannot be opened (EOPNOTSUPP).
        return None
    found = _FULL.search(text)
    return None if found is None else float(found[1])
