"""memhp at work inside a guest, on the guest's own memory: ``linux:`` as root on a real kernel."""

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab_guests import guest_of
from memhp.core.geometry import GIB, MIB, NodeId
from memhp.core.guest_shape import BootDimm, GuestShape
from memhp.machines.lab.initrd import HOST
from memhp.machines.lab.serial_shell import SerialShell
from memhp.machines.lab.workload import LEND_PAGES

MEMHP = Path(sys.executable).parent / "memhp"
DIMM = "PNP0C80:00"
BLOCKS = (32, 33, 34, 35)
"""Those of the DIMM, in a guest that boots with less than 3 GiB."""
MEMORY = "/sys/devices/system/memory"
_INJECTED = "/sys/kernel/debug/notifier-error-inject/memory/actions"


@dataclass(frozen=True, slots=True)
class Inside:
    """A guest with a DIMM, and memhp in it. ``state`` is its folder of journals, as it sees it."""

    shell: SerialShell
    state: str = "/tmp/state"

    def run(self, command: str, seconds: float = 120) -> tuple[int, str]:
        """Run a line of shell in the guest."""
        return self.shell.run(command, seconds)

    def memhp(self, words: str, state: str | None = None) -> tuple[int, str]:
        """Run memhp there; returns its exit code and what it said, without what it drew."""
        # With its output in a file it draws no live line.
        code, _ = self.run(f"{self.command(words, state)} < /dev/null > /tmp/said 2>&1")
        return code, self.run("cat /tmp/said")[1]

    def command(self, words: str, state: str | None = None) -> str:
        """The line of shell that runs memhp there."""
        folder = shlex.quote(f"MEMHP_STATE_DIR={state or self.state}")
        return f"host env {folder} {shlex.quote(str(MEMHP))} {words} -M linux:"

    def blocks(self) -> dict[int, tuple[str, str]]:
        """State and zones of each of the DIMM's blocks."""
        paths = " ".join(f"{MEMORY}/memory{n}/state {MEMORY}/memory{n}/valid_zones" for n in BLOCKS)
        words = [line for line in self.run(f"cat {paths}")[1].splitlines() if line]
        return dict(zip(BLOCKS, zip(words[::2], words[1::2], strict=True), strict=True))

    def all_are(self, state: str, zones: str) -> bool:
        """Whether every block of the DIMM stands so."""
        return set(self.blocks().values()) == {(state, zones)}

    def bring(self) -> None:
        """Have every block of the DIMM online and movable, by hand."""
        self.run(
            f"for n in {' '.join(map(str, BLOCKS))}; do "
            f"f={MEMORY}/memory$n; [ $(cat $f/valid_zones) = Movable ] || "
            "{ echo offline > $f/state; echo online_movable > $f/state; }; done 2>/dev/null"
        )

    @contextmanager
    def injected(self, action: str, error: int) -> Iterator[None]:
        """A driver that vetoes a transition."""
        self.run(f"echo {-error} > {_INJECTED}/{action}/error")
        try:
            yield
        finally:
            self.run(f"echo 0 > {_INJECTED}/{action}/error")

    @contextmanager
    def pinned(self) -> Iterator[None]:
        """A process with pages in the DIMM that look movable and never move, until the end."""
        program = f"{shlex.quote(sys.executable)} {shlex.quote(str(LEND_PAGES))}"
        self.run(
            f"rm -f {HOST}/tmp/pinned; host {program} /tmp/pinned & echo $! > /tmp/pin.pid; "
            f"while [ ! -e {HOST}/tmp/pinned ]; do sleep 0.1; done"
        )
        try:
            yield
        finally:
            self.unpin()

    def unpin(self) -> None:
        """End that process and wait for it."""
        self.run("kill -9 $(cat /tmp/pin.pid) 2>/dev/null; wait $(cat /tmp/pin.pid) 2>/dev/null")


@contextmanager
def inside(kernel: str) -> Iterator[Inside]:
    """A guest of one GiB with a DIMM of 512 MiB, offline; nothing brings it online by itself."""
    shape = GuestShape(
        kernel=kernel,
        nodes=(GIB,),
        dimms=(BootDimm(size_bytes=512 * MIB, node=NodeId(0)),),
        command_line="memhp_default_state=offline",
        shares_root=True,
    )
    with guest_of(shape) as guest, guest.shell() as shell:
        # What the kernel prints would come in between.
        shell.run(f"dmesg -n 1; mkdir -p {HOST}/tmp")
        yield Inside(shell)
