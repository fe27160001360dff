"""Which machine this is: the VM's UUID, and when its QEMU was started."""

import os
from typing import Final

from memhp.machines.qemu.connection import Connection
from memhp.machines.qemu.owner import Emulator

_NO_UUID: Final = "00000000-0000-0000-0000-000000000000"
_BOOT_ID: Final = "/proc/sys/kernel/random/boot_id"


async def identity_of(monitor: Connection, path: str, process: Emulator | None) -> str:
    """``qemu:UUID:START``; a VM without UUID is known by its monitor's place."""
    uuid = monitor.field(await monitor.ask("query-uuid"), "UUID", str)
    which = f"at {os.path.realpath(path).replace(':', '_')}" if uuid == _NO_UUID else uuid
    return f"qemu:{which}:{_start(path, process)}"


def _start(path: str, process: Emulator | None) -> str:
    """When QEMU started: the process's own time, else that of the socket, which it made then."""
    try:
        with open(_BOOT_ID, encoding="ascii") as file:
            host = file.read().strip()[:8]
        if process is not None:
            return f"{host}-{process.pid}-{process.started}"
        found = os.stat(path)
    except OSError:
        return "unknown"
    return f"{host}-socket-{found.st_ino}-{found.st_ctime_ns}"
