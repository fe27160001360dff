"""One throwaway guest: its QEMU process, its sockets, and where it is described."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from memhp.core.errors import FormatError, MachineError, NoSuchMachine
from memhp.core.guest_shape import GuestShape
from memhp.core.values_json import from_json, parse_json, to_json
from memhp.machines.lab.accelerator import Accel, accels_to_try, remember_failed_kvm
from memhp.machines.lab.carried import Carried
from memhp.machines.lab.initrd import AGENT, READY, build_initrd
from memhp.machines.lab.kernels import LabKernel, find_kernel
from memhp.machines.lab.qemu_options import AGENT_SOCKET, qemu_options
from memhp.machines.lab.serial_shell import SerialShell
from memhp.machines.lab.starter import ends_with_starter

FOLDER_VARIABLE = "MEMHP_LAB_DIR"
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,30}")
_HEX = re.compile(r"\b(?:[0-9a-f]{2})+\b")
_ACCEL = "accel"
_QEMU = "qemu-system-x86_64"
_BOOT_SECONDS = 90.0
_ENDING_SECONDS = 1.0
"""How long a QEMU that has gone silent may take to be gone itself."""
_NOTHING = Carried()
_KVM_BOOT_SECONDS = 20.0
_KVM_TRIES = 1
_TRIES = 3
"""Once in a few dozen boots under TCG a kernel panics at once in its idle task."""


class Guest:
    """A guest by its name. It runs until it is put down.

    One that is ``bound`` to this process does not outlive it, however that ends
    (``PR_SET_PDEATHSIG``).
    """

    def __init__(self, name: str, *, bound: bool = False) -> None:
        if not _NAME.fullmatch(name):
            raise NoSuchMachine(
                machine=f"lab:{name}",
                problem="is no name of a guest",
                advice="give small letters, digits and '-'",
            )
        self.name = name
        self.folder = lab_folder() / name
        self._options: tuple[str, ...] = ()
        self._bound = bound
        self._process: subprocess.Popen[str] | None = None

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
            shape: GuestShape = from_json(
                GuestShape, parse_json((self.folder / "shape.json").read_text())
            )
        except (OSError, ValueError, FormatError) as err:
            raise self._not_there() from err
        return shape

    @property
    def accel(self) -> Accel:
        """What it runs under."""
        try:
            return Accel((self.folder / _ACCEL).read_text())
        except (OSError, ValueError):
            return Accel.TCG

    def up(
        self,
        shape: GuestShape,
        carried: Carried = _NOTHING,
        options: Sequence[str] = (),
        accel: Accel = Accel.TCG,
    ) -> Accel:
        """Boot it and wait until its shell answers; returns what it runs under.

        ``options`` are more words for QEMU: devices that a shape does not have.
        Raises ``MachineError``.
        """
        self._check_can_start()
        kernel = find_kernel(shape.kernel, shares_root=shape.shares_root)
        if shape.agent:
            carried = replace(carried, programs=(*carried.programs, AGENT))
        self._options = tuple(options)
        tried = list(accels_to_try(accel, self.folder.parent))
        for next_accel in tried[:-1]:
            try:
                return self._up_under(next_accel, kernel, shape, carried)
            except MachineError:
                continue
        self._up_under(tried[-1], kernel, shape, carried)
        if len(tried) > 1:
            remember_failed_kvm(self.folder.parent)
        return tried[-1]

    def _check_can_start(self) -> None:
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

    def _up_under(
        self, accel: Accel, kernel: LabKernel, shape: GuestShape, carried: Carried
    ) -> Accel:
        self._make_folder(shape)
        (self.folder / _ACCEL).write_text(accel)
        try:
            with ends_with_starter(self.folder):
                self._build_and_boot(kernel, shape, carried)
        except BaseException:
            # Whatever it was, an interrupt too: a guest that is not up leaves nothing.
            self._clear_away()
            raise
        return accel

    def _make_folder(self, shape: GuestShape) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        try:
            self.folder.mkdir(parents=True, mode=0o700)
            (self.folder / "shape.json").write_text(json.dumps(to_json(shape)))
        except OSError as err:
            self._clear_away()
            raise MachineError(
                machine=f"lab:{self.name}",
                problem=f"has no folder to live in: {self.folder} cannot be made ({err.strerror})",
                advice=f"name another place with ${FOLDER_VARIABLE}",
            ) from err

    def _clear_away(self) -> None:
        if self.folder.is_dir():
            self.down()

    def _build_and_boot(self, kernel: LabKernel, shape: GuestShape, carried: Carried) -> None:
        shared_path = _path_of_programs() if shape.shares_root else None
        build = partial(
            build_initrd, self.folder / "initrd", kernel, carried=carried, shared_path=shared_path
        )
        build()
        self._boot(kernel, shape)
        if shape.hotpluggable_nodes:
            srat = self._flagged_srat(shape)
            self.down(keep=True)
            build(srat)
            self._boot(kernel, shape)

    def _boot(self, kernel: LabKernel, shape: GuestShape) -> None:
        """Boot until the shell answers; a kernel that panics while booting gets another try."""
        under_kvm = self.accel is Accel.KVM
        seconds = _KVM_BOOT_SECONDS if under_kvm else _BOOT_SECONDS
        tries = _KVM_TRIES if under_kvm else _TRIES
        for last in (False,) * (tries - 1) + (True,):
            self._start(kernel, shape)
            try:
                with self.shell() as shell:
                    shell.wait_for(READY, seconds)
                    shell.run("stty -echo")
            except MachineError as err:
                refusal = self._refusal()
                self.down(keep=True)
                if refusal is not None:
                    raise self._not_started(refusal) from err
                if last:
                    raise
            else:
                return

    def _flagged_srat(self, shape: GuestShape) -> bytes:
        """The SRAT that QEMU made, with some nodes' memory flagged as hot-pluggable."""
        from memhp.core.acpi.srat import (  # noqa: PLC0415 - most guests have none
            encode_srat,
            parse_srat,
            with_hotpluggable,
        )

        with self.shell() as shell:
            _, text = shell.run("hexdump -v -e '1/1 \"%02x\"' /sys/firmware/acpi/tables/SRAT")
        srat = parse_srat(bytes.fromhex(_HEX.findall(text)[-1]))
        for node in shape.hotpluggable_nodes:
            # QEMU's proximity domains equal Linux's nodes.
            srat = with_hotpluggable(srat, node)
        return encode_srat(srat)

    def down(self, *, keep: bool = False) -> None:
        """End it and take away what it left, unless it is to be kept; raises ``NoSuchMachine``."""
        if not self.folder.is_dir():
            raise self._not_there()
        pid = self.pid
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
            while self.pid is not None:
                time.sleep(0.02)
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None
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

    def agent_path(self) -> str:
        """Where its guest agent's port listens, whether one runs or not."""
        return str(self.folder / AGENT_SOCKET)

    def _start(self, kernel: LabKernel, shape: GuestShape) -> None:
        named = ("-name", self.name, "-uuid", str(uuid.uuid4()))
        options = qemu_options(self.folder, kernel.image, shape, self.accel)
        command = [_QEMU, *named, *options, *self._options]
        why = self._start_bound(command) if self._bound else _start_apart(command)
        if why is not None:
            raise self._not_started(why)

    def _not_started(self, why: str) -> MachineError:
        return MachineError(machine=f"lab:{self.name}", problem=f"does not start ({why})")

    def _refusal(self) -> str | None:
        """What a bound QEMU said that has ended by itself; its sockets come before its devices."""
        if self._process is None:
            return None
        try:
            said = self._process.communicate(timeout=_ENDING_SECONDS)[1]
        except subprocess.TimeoutExpired:
            return None
        ended, self._process = self._process, None
        # A kernel that panics ends QEMU as well, and well.
        return _last_word(said) if ended.returncode else None

    def _start_bound(self, command: list[str]) -> str | None:
        """Start QEMU so that it ends with this process, and wait for the last of its sockets."""
        for left in ("pid", "con", "qmp"):
            (self.folder / left).unlink(missing_ok=True)
        self._process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *command],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        while not (self.folder / "qmp").exists():
            if self._process.poll() is not None:
                return _last_word(self._process.communicate()[1])
            time.sleep(0.01)
        return None

    def _not_there(self) -> NoSuchMachine:
        return NoSuchMachine(
            machine=f"lab:{self.name}",
            problem="does not run",
            advice=f"start it with 'memhp lab up {self.name}'",
        )


def _path_of_programs() -> str:
    """Where programs are looked for: beside this Python first, for memhp is there."""
    return f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}"


def _start_apart(command: list[str]) -> str | None:
    """Start QEMU so that it outlives this process; returns why it does not start."""
    done = subprocess.run([*command, "-daemonize"], capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else _last_word(done.stderr)


def _last_word(said: str) -> str:
    return (said.strip().splitlines() or ["it gave no reason"])[-1]


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
