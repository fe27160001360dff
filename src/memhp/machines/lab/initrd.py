"""The guest's whole user space: a busybox, and an init that starts a shell on the serial line."""

import gzip
import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

from memhp.core.errors import MachineError
from memhp.machines.lab.carried import Carried, put_carried
from memhp.machines.lab.kernels import LabKernel

READY = "LAB-GUEST-READY"
ROOT_TAG = "root"
"""The name under which QEMU offers the host's root over 9p."""
HOST = "/host"
"""Where a guest sees it."""
HOME = "/tmp/guest-home"  # noqa: S108
"""The home there: what memhp keeps of its operations is not the host's."""
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
[ -f /share ] && sh /share
[ -x {AGENT} ] && {{ sh /agent > /dev/null 2>&1 & for i in $(seq 300); do
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
_SHARE = f"""mkdir -p /shared /kept {HOST}
mount -t 9p -o trans=virtio,version=9p2000.L,ro,cache=loose,msize=512000 {ROOT_TAG} /shared || exit
mount -t tmpfs kept /kept
mkdir /kept/upper /kept/work
mount -t overlay -o lowerdir=/shared,upperdir=/kept/upper,workdir=/kept/work host {HOST} || exit
for f in proc sys dev; do mount --bind /$f {HOST}/$f; done
mount -t tmpfs run {HOST}/run
mkdir -p {HOST}{HOME}
"""
"""9p keeps what it has read: nobody expects a host's programs to change under a guest.

What a guest writes stays in its own memory.
"""
_LOAD = """#!/bin/sh
[ -f /lib/$1.needs ] || {
cd /lib; for n in *.needs; do names="$names ${n%.needs}"; done
echo "load: no module '$1' among the spare ones, which are$names" >&2; exit 1; }
for m in $(cat /lib/$1.needs); do
grep -q "^$(echo ${m%.ko} | tr - _) " /proc/modules || insmod /lib/$m || exit; done
"""
_OVERRIDE = "kernel/firmware/acpi/srat.aml"
_NOTHING = Carried()


def build_initrd(
    target: Path,
    kernel: LabKernel,
    srat: bytes | None = None,
    carried: Carried = _NOTHING,
    shared_path: str | None = None,
) -> None:
    """Write the initrd; raises ``MachineError`` where busybox or cpio are missing.

    ``srat`` replaces the firmware's table
    (``Documentation/admin-guide/acpi/initrd_table_override.rst``). ``carried``
    stands beside busybox, and before it where both have a program's path.
    ``shared_path`` is the ``PATH`` of programs of a host whose root is shared.
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
        _fill(root, busybox)
        _put_modules(root, kernel)
        if shared_path is not None:
            _put_sharing(root, shared_path)
        put_carried(carried, root)
        tables = Path(folder) / "tables"
        if srat is not None:
            file = tables / _OVERRIDE
            file.parent.mkdir(parents=True)
            file.write_bytes(srat)
        # The kernel looks for tables in a first archive that is not compressed.
        first = b"" if srat is None else _archive(tables)
        target.write_bytes(first + gzip.compress(_archive(root), compresslevel=1))


def _fill(root: Path, busybox: str) -> None:
    for name in ("bin", "proc", "sys", "dev", "tmp", "lib"):
        (root / name).mkdir(parents=True)
    shutil.copy(busybox, root / "bin/busybox")
    applets = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True)
    for name in applets.stdout.split():
        if name != "busybox":
            os.symlink("busybox", root / "bin" / name)
    (root / "agent").write_text(_START_AGENT)
    _put_program(root / "init", _INIT)


def _put_modules(root: Path, kernel: LabKernel) -> None:
    """The modules that are loaded at boot, and those that ``load NAME`` loads."""
    spare = {file for chain in kernel.spare.values() for file in chain}
    for module in spare.union(kernel.modules):
        shutil.copy(module, root / "lib" / module.name)
    (root / "modules").write_text("".join(f"{module.name}\n" for module in kernel.modules))
    for name, chain in kernel.spare.items():
        (root / f"lib/{name}.needs").write_text(" ".join(file.name for file in chain))
    _put_program(root / "bin/load", _LOAD)


def _put_sharing(root: Path, path: str) -> None:
    """What mounts the host's root, and ``host PROGRAM …``, which runs a program in it."""
    (root / "share").write_text(_SHARE)
    words = f"HOME={HOME} MEMHP_STATE_DIR={HOME}/memhp PATH={shlex.quote(path)}"
    _put_program(root / "bin/host", f'#!/bin/sh\n{words} exec chroot {HOST} "$@"\n')


def _put_program(file: Path, text: str) -> None:
    file.write_text(text)
    file.chmod(0o755)


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
