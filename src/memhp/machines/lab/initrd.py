"""The guest's whole user space: a busybox, and an init that starts a shell on the serial line."""

import gzip
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from memhp.core.errors import MachineError

READY = "LAB-GUEST-READY"
_BUSYBOX = ("/bin/busybox", "/usr/bin/busybox")
_INIT = f"""#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t debugfs debug /sys/kernel/debug
dmesg -n 1
stty -echo 2>/dev/null
echo {READY}
while true; do PS1= PS2= sh; done
"""


def build_initrd(target: Path) -> None:
    """Write the initrd; raises ``MachineError`` where busybox or cpio are missing."""
    busybox = next((path for path in _BUSYBOX if Path(path).exists()), None)
    if busybox is None or shutil.which("cpio") is None:
        raise MachineError(
            machine="lab:",
            problem="needs busybox and cpio",
            advice="install packages busybox-static and cpio",
        )
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name in ("bin", "proc", "sys", "dev", "tmp"):
            (root / name).mkdir()
        shutil.copy(busybox, root / "bin/busybox")
        applets = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True)
        for name in applets.stdout.split():
            if name != "busybox":
                os.symlink("busybox", root / "bin" / name)
        (root / "init").write_text(_INIT)
        (root / "init").chmod(0o755)
        names = "\n".join(str(path.relative_to(root)) for path in sorted(root.rglob("*")))
        archive = subprocess.run(
            ["cpio", "-o", "-H", "newc", "--quiet"],
            input=names.encode(),
            cwd=root,
            capture_output=True,
            check=True,
        )
    target.write_bytes(gzip.compress(archive.stdout, compresslevel=1))
