"""The guest's whole user space: a busybox, and an init that starts a shell on the serial line."""

import gzip
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from memhp.core.errors import MachineError
from memhp.machines.lab.carried import Carried, put_carried

READY = "LAB-GUEST-READY"
AGENT = "/usr/sbin/qemu-ga"
"""QEMU's guest agent, where its package puts it."""
_BUSYBOX = ("/bin/busybox", "/usr/bin/busybox")
_INIT = f"""#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t debugfs debug /sys/kernel/debug
for m in $(cat /modules); do insmod /lib/$m; done
dmesg -n 1
[ -x {AGENT} ] && {{ sh /agent > /dev/null 2>&1 & for i in $(seq 100); do
ls -l /proc/$!/fd | grep -q vport && break; sleep 0.1; done; }}
stty -echo 2>/dev/null
echo {READY}
while true; do PS1= PS2= sh; done
"""

_START_AGENT = f"""mkdir -p /var/run /tmp
for port in /sys/class/virtio-ports/*; do read name < $port/name
[ "$name" = org.qemu.guest_agent.0 ] || continue
exec {AGENT} -m virtio-serial -p /dev/${{port##*/}} -t /tmp "$@"; done
"""
_OVERRIDE = "kernel/firmware/acpi/srat.aml"
_NOTHING = Carried()


def build_initrd(
    target: Path,
    modules: Sequence[Path] = (),
    srat: bytes | None = None,
    carried: Carried = _NOTHING,
) -> None:
    """Write the initrd; raises ``MachineError`` where busybox or cpio are missing.

    ``modules`` are loaded in order. ``srat`` replaces the firmware's table
    (``Documentation/admin-guide/acpi/initrd_table_override.rst``). ``carried``
    stands beside busybox, and before it where both have a program's path.
    """
    busybox = next((path for path in _BUSYBOX if Path(path).exists()), None)
    if busybox is None or shutil.which("cpio") is None:
        raise MachineError(
            machine="lab:",
            problem="needs busybox and cpio",
            advice="install packages busybox-static and cpio",
        )
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        _fill(root, busybox, modules)
        put_carried(carried, root)
        tables = Path(folder) / "tables"
        if srat is not None:
            file = tables / _OVERRIDE
            file.parent.mkdir(parents=True)
            file.write_bytes(srat)
        # The kernel looks for tables in a first archive that is not compressed.
        first = b"" if srat is None else _archive(tables)
        target.write_bytes(first + gzip.compress(_archive(root), compresslevel=1))


def _fill(root: Path, busybox: str, modules: Sequence[Path]) -> None:
    for name in ("bin", "proc", "sys", "dev", "tmp", "lib"):
        (root / name).mkdir(parents=True)
    shutil.copy(busybox, root / "bin/busybox")
    applets = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True)
    for name in applets.stdout.split():
        if name != "busybox":
            os.symlink("busybox", root / "bin" / name)
    for module in modules:
        shutil.copy(module, root / "lib" / module.name)
    (root / "modules").write_text("".join(f"{module.name}\n" for module in modules))
    (root / "agent").write_text(_START_AGENT)
    (root / "init").write_text(_INIT)
    (root / "init").chmod(0o755)


def _archive(root: Path) -> bytes:
    names = "\n".join(str(path.relative_to(root)) for path in sorted(root.rglob("*")))
    done = subprocess.run(
        ["cpio", "-o", "-H", "newc", "--quiet"],
        input=names.encode(),
        cwd=root,
        capture_output=True,
        check=True,
    )
    return done.stdout
