"""A lab guest behind the door that every machine has.

It is read through its own files, which come over the serial line, and changed
by writing them there; devices come and go as in every QEMU guest.
"""

import base64
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from memhp.core.census import BlockCensus
from memhp.core.errors import ContactLost, NotSupported
from memhp.core.geometry import BlockId
from memhp.core.listing import BlockFile, Listing
from memhp.core.machine import Tell
from memhp.core.outcome import Outcome
from memhp.core.plan import OfflineBlock, OnlineBlock, Step
from memhp.core.snapshot import Snapshot, Want
from memhp.core.words import Ability
from memhp.machines.lab.guest import Guest
from memhp.machines.lab.monitor import monitor_of
from memhp.machines.linux.apply import apply_logical
from memhp.machines.linux.list_blocks import list_blocks
from memhp.machines.linux.root import Root
from memhp.machines.qemu.address import QemuAddress
from memhp.machines.qemu.guest_tree import plant, script_for
from memhp.machines.qemu.machine import QemuMachine
from memhp.machines.qemu.read_guest import Named, joined, of_guest
from memhp.machines.qemu.shell_errors import errno_name
from memhp.model.boot_inputs import BootInputs

T = TypeVar("T")
_FOLDERS = (
    "sys/devices/system/memory sys/devices/system/node sys/module/memory_hotplug "
    "sys/firmware/acpi/tables sys/firmware/memmap sys/kernel/boot_params"
)
_FILES = "iomem zoneinfo cmdline cpuinfo sys/kernel/osrelease sys/kernel/random/boot_id"
_COPY = f"""rm -rf /tmp/tree; mkdir -p /tmp/tree; cd /
for d in {_FOLDERS}; do [ -d $d ] || continue
find $d -type d | while read x; do mkdir -p /tmp/tree/$x; done
find $d -type l | while read x; do cp -P $x /tmp/tree/$x; done
find $d -type f | while read x; do cat $x > /tmp/tree/$x 2>/dev/null || rm -f /tmp/tree/$x; done
done
for x in sys/bus/acpi/devices/PNP0C80*; do [ -e $x ] || continue; mkdir -p /tmp/tree/$x
cat $x/status > /tmp/tree/$x/status
for l in $x/physical_node*; do [ -L $l ] && cp -P $l /tmp/tree/$l; done; done
for f in {_FILES}; do mkdir -p /tmp/tree/proc/${{f%/*}} 2>/dev/null
[ -d /tmp/tree/proc/$f ] && rmdir /tmp/tree/proc/$f; cat /proc/$f > /tmp/tree/proc/$f; done
cd /tmp/tree && tar czf - . | base64"""
_BASE64 = re.compile(r"[A-Za-z0-9+/=]+")
_SECONDS = 120.0
_ENDED = frozenset({124, 143})
"""What ``timeout`` exits with where it ended the command by a signal."""


class LabMachine:
    """A guest of the lab: online, offline, and devices that come, go and change their size."""

    can = frozenset(Ability) - {Ability.CENSUS}
    lasts = True
    changes_by_itself = True

    def __init__(self, guest: Guest) -> None:
        self._guest = guest
        self.name = f"lab:{guest.name}"
        self.address = self.name

    @property
    def identity(self) -> str:
        """The guest's name and its boot."""
        with self._guest.shell() as shell:
            _, text = shell.run("cat /proc/sys/kernel/random/boot_id")
        return f"lab:{self._guest.name}:{text.strip()}"

    @property
    def other_identity(self) -> str:
        """What it is as a guest of QEMU."""
        return self._from_outside().identity

    def snapshot(self, want: Want = Want.ALL) -> Snapshot:
        """Read the parts asked for, from the guest and from QEMU; raises ``MachineError``."""
        named = Named(machine=self.name, identity=self.identity, want=want)
        with self._guest.shell() as shell:
            _, text = shell.run(script_for(want), _SECONDS)
        with tempfile.TemporaryDirectory() as folder:
            plant(text, Path(folder), self.name)
            guest, available = of_guest(Root(folder, self.name), named)
        with monitor_of(self._guest) as monitor:
            account = monitor.account()
        return joined(guest, available, account, None)

    def settle(self) -> tuple[str, ...]:
        """Finish requests that were answered when nobody listened; returns what has gone."""
        return self._from_outside(self._guest.agent_path()).settle()

    def list_blocks(self, want: BlockFile) -> Listing:
        """Copy the guest's files and list its blocks."""
        return self._with_tree(lambda root: list_blocks(root, want))

    def boot_inputs(self) -> BootInputs:
        """What the guest was booted from."""
        from memhp.machines.linux.boot_inputs import read_boot_inputs  # noqa: PLC0415

        return self._with_tree(read_boot_inputs)

    def census(self, blocks: Sequence[BlockId]) -> Mapping[BlockId, BlockCensus]:  # noqa: ARG002
        """Not yet: raises ``NotSupported``."""
        raise NotSupported(machine=self.name, operation="count pages", advice="a model can")

    def apply(self, step: Step, *, until: float | None, tell: Tell) -> Outcome:
        """Carry out one step in the guest and read back what came of it.

        A write that the kernel holds is ended in the guest by a signal, at the
        deadline or after two minutes.
        """
        if not isinstance(step.action, OnlineBlock | OfflineBlock):
            return self._from_outside().apply(step, until=until, tell=tell)
        with self._guest.shell() as shell:

            def read(relative: str) -> str | None:
                code, text = shell.run(f"cat /{relative}")
                return text.strip() if code == 0 else None

            def write(relative: str, word: str) -> str | None:
                seconds = _seconds_left(until)
                command = f"timeout {seconds} sh -c 'echo {word} > /{relative}'"
                code, text = shell.run(command, seconds + _SECONDS)
                if code == 0:
                    return None
                return "EINTR" if code in _ENDED else errno_name(text)

            return apply_logical(step, machine=self.name, read=read, write=write)

    def _from_outside(self, agent: str | None = None) -> QemuMachine:
        """The same guest for what needs nobody in it: the physical phase."""
        sockets = QemuAddress(monitor=self._guest.monitor_path(), agent=agent)
        return QemuMachine(self.name, self.address, sockets)

    def _with_tree(self, read: Callable[[Root], T]) -> T:
        with self._guest.shell() as shell:
            _, text = shell.run(_COPY, _SECONDS)
        lines = [line for line in text.split("\n") if _BASE64.fullmatch(line)]
        with tempfile.TemporaryDirectory() as folder:
            archive = Path(folder) / "tree.tar.gz"
            try:
                archive.write_bytes(base64.b64decode("".join(lines)))
                subprocess.run(
                    ["tar", "xzf", archive, "-C", folder], check=True, capture_output=True
                )
            except (ValueError, subprocess.CalledProcessError) as err:
                raise ContactLost(
                    machine=self.name,
                    problem="sent its files garbled over the serial line",
                    advice="try again",
                ) from err
            return read(Root(folder, self.name))


def _seconds_left(until: float | None) -> int:
    """Whole seconds for a write, one at least."""
    left = _SECONDS if until is None else min(_SECONDS, until - time.monotonic())
    return max(1, int(left))
