"""One throwaway guest: its QEMU process, its sockets, and where it is described."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from memhp.core.errors import MachineError, NoSuchMachine
from memhp.machines.lab.initrd import READY, build_initrd
from memhp.machines.lab.kernels import find_kernel
from memhp.machines.lab.serial_shell import SerialShell

FOLDER_VARIABLE = "MEMHP_LAB_DIR"
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,30}")
_QEMU = "qemu-system-x86_64"
_BOOT_SECONDS = 90.0
_TRIES = 3
"""Once in a few dozen boots under TCG a kernel panics at once in its idle task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestShape:
    """What a guest is made of: MiB of each node at boot, and the kernel's command line."""

    kernel: str
    nodes_mib: tuple[int, ...]
    command_line: str = ""


class Guest:
    """A guest by its name. It runs until it is put down."""

    def __init__(self, name: str) -> None:
        if not _NAME.fullmatch(name):
            raise NoSuchMachine(
                machine=f"lab:{name}",
                problem="is no name of a guest",
                advice="give small letters, digits and '-'",
            )
        self.name = name
        self.folder = lab_folder() / name

    @property
    def pid(self) -> int | None:
        """The process, while it runs."""
        try:
            pid = int((self.folder / "pid").read_text())
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (OSError, ValueError):
            return None
        return pid if str(self.folder).encode() in command else None

    @property
    def shape(self) -> GuestShape:
        """What it was made of; raises ``NoSuchMachine``."""
        try:
            found = json.loads((self.folder / "shape.json").read_text())
        except (OSError, ValueError) as err:
            raise self._not_there() from err
        return GuestShape(**(found | {"nodes_mib": tuple(found["nodes_mib"])}))

    def up(self, shape: GuestShape) -> None:
        """Boot it and wait until its shell answers; raises ``MachineError``."""
        if self.pid is not None:
            raise MachineError(
                machine=f"lab:{self.name}", problem="runs already", advice="put it down first"
            )
        if shutil.which(_QEMU) is None:
            raise MachineError(
                machine=f"lab:{self.name}",
                problem=f"needs {_QEMU}",
                advice="install package qemu-system-x86",
            )
        kernel = find_kernel(shape.kernel)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True, mode=0o700)
        build_initrd(self.folder / "initrd")
        (self.folder / "shape.json").write_text(json.dumps(asdict(shape)))
        for last in (False,) * (_TRIES - 1) + (True,):
            self._start(kernel, shape)
            try:
                with self.shell() as shell:
                    shell.wait_for(READY, _BOOT_SECONDS)
                    shell.run("stty -echo")
            except MachineError:
                self.down(keep=not last)
                if last:
                    raise
            else:
                return

    def down(self, *, keep: bool = False) -> None:
        """End it and take away what it left, unless it is to be kept; raises ``NoSuchMachine``."""
        if not self.folder.is_dir():
            raise self._not_there()
        pid = self.pid
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
            while self.pid is not None:
                time.sleep(0.02)
        if not keep:
            shutil.rmtree(self.folder)

    def shell(self) -> SerialShell:
        """Its shell; raises ``NoSuchMachine`` and ``ContactLost``."""
        if self.pid is None:
            raise self._not_there()
        return SerialShell(self.folder / "con", f"lab:{self.name}")

    def monitor_path(self) -> str:
        """Where its QMP monitor listens; raises ``NoSuchMachine``."""
        if self.pid is None:
            raise self._not_there()
        return str(self.folder / "qmp")

    def _start(self, kernel: Path, shape: GuestShape) -> None:
        command = [_QEMU, *_options(self.folder, kernel, shape)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            why = (done.stderr.strip().splitlines() or ["it gave no reason"])[-1]
            raise MachineError(machine=f"lab:{self.name}", problem=f"does not start ({why})")

    def _not_there(self) -> NoSuchMachine:
        return NoSuchMachine(
            machine=f"lab:{self.name}",
            problem="does not run",
            advice=f"start it with 'memhp lab up {self.name}'",
        )


def guests() -> list[Guest]:
    """Every guest of which there is a folder."""
    try:
        names = sorted(path.name for path in lab_folder().iterdir())
    except FileNotFoundError:
        return []
    return [Guest(name) for name in names if _NAME.fullmatch(name)]


def lab_folder() -> Path:
    """Where guests live: a short path, for a Unix socket's may have 107 bytes."""
    given = os.environ.get(FOLDER_VARIABLE)
    return Path(given) if given else Path(f"/tmp/memhp-lab-{os.geteuid()}")  # noqa: S108


def _options(folder: Path, kernel: Path, shape: GuestShape) -> Iterator[str]:
    """QEMU's command line: nodes, sockets, kernel; memory that is only reserved when used."""
    yield from ("-accel", "tcg", "-cpu", "max", "-nodefaults", "-display", "none", "-no-reboot")
    yield from ("-m", f"{sum(shape.nodes_mib)}M,slots=16,maxmem=32G", "-smp", "1")
    for node, size in enumerate(shape.nodes_mib):
        cpus = ",cpus=0" if node == 0 else ""
        if size:
            yield from ("-object", f"memory-backend-ram,id=node{node},size={size}M,reserve=off")
        memory = f",memdev=node{node}" if size else ""
        yield from ("-numa", f"node,nodeid={node}{memory}{cpus}")
    yield from ("-chardev", f"socket,id=con,path={folder}/con,server=on,wait=off")
    yield from ("-serial", "chardev:con", "-qmp", f"unix:{folder}/qmp,server=on,wait=off")
    yield from ("-kernel", str(kernel), "-initrd", f"{folder}/initrd", "-append")
    yield f"console=ttyS0 panic=-1 quiet {shape.command_line}".strip()
    yield from ("-daemonize", "-pidfile", f"{folder}/pid")
