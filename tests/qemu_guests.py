"""Real guests reached from their host, for tests: one or two, put down at the end."""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lab_guests import lab_folder_of_its_own, need_guests
from memhp.core.errors import ContactLost
from memhp.core.events import Event
from memhp.core.geometry import GIB, MIB, NodeId
from memhp.core.guest_shape import BootDimm, GuestShape, VirtioMemShape
from memhp.core.request import Conditions, Request
from memhp.core.snapshot import Snapshot
from memhp.core.words import Ending
from memhp.machines.lab.carried import Carried
from memhp.machines.lab.compile_c import carry_compiled
from memhp.machines.lab.guest import Guest
from memhp.machines.lab.workload import carry_workload
from memhp.machines.open import open_machine
from memhp.machines.qemu.connection import connect_monitor
from memhp.machines.qemu.machine import QemuMachine
from memhp.operations.conduct import Conductor
from memhp.operations.operation import Operation

HOLD = Path(__file__).parent / "kernel" / "hold.c"
LINE = "memhp_default_state=offline nokaslr panic=0"
DIMM = 256 * MIB
_AGENT_SECONDS = 60


class Lab:
    """A guest, its machine as the host has it, and what tests do to both."""

    def __init__(self, guest: Guest) -> None:
        self.guest = guest
        self.name = f"qemu:{guest.name}"

    @property
    def machine(self) -> QemuMachine:
        found = open_machine(self.name)
        assert isinstance(found, QemuMachine)
        return found

    def sh(self, command: str) -> str:
        with self.guest.shell() as shell:
            return shell.run(command, 120)[1].strip()

    def sh_answers(self) -> bool:
        """Whether the guest's shell still does."""
        try:
            with self.guest.shell() as shell:
                return shell.run("true", 2)[0] == 0
        except ContactLost:
            return False

    def qmp(self, command: str, arguments: Mapping[str, Any] | None = None) -> Any:
        async def ask() -> Any:
            async with connect_monitor(self.guest.monitor_path(), self.name) as monitor:
                return await monitor.ask(command, arguments)

        return asyncio.run(ask())

    def mem_total(self) -> int:
        return int(self.sh("grep MemTotal /proc/meminfo").split()[1]) * 1024

    @contextmanager
    def blocks_that_never_answer(self, *numbers: int) -> Iterator[None]:
        """Whoever reads these blocks' states meanwhile waits for ever."""
        places = [f"/sys/devices/system/memory/memory{number}/state" for number in numbers]
        self.sh("rm -f /tmp/never; mkfifo /tmp/never")
        self.sh("; ".join(f"mount -o bind /tmp/never {place}" for place in places))
        try:
            yield
        finally:
            self.sh("; ".join(f"umount -l {place}" for place in places))

    def runs(self) -> list[str]:
        """The programs in the guest that take blocks in turn."""
        return self.sh("grep -l '[m]emhp-run-' /proc/[0-9]*/cmdline 2> /dev/null").split()

    def restart_agent(self, options: str = "") -> None:
        self.sh("killall qemu-ga; while pidof qemu-ga; do sleep 0.05; done")
        if options != "none":
            self.sh(f"sh /agent {options} > /dev/null 2>&1 & while ! pidof qemu-ga; do :; done")
            self._await_port(opened=True)
        else:
            self._await_port(opened=False)

    def await_agent(self) -> None:
        """Wait until the agent answers: on a busy machine it opens its port well before it does."""
        until = time.monotonic() + _AGENT_SECONDS
        while not self.machine.snapshot().blocks:
            if time.monotonic() > until:
                raise ContactLost(
                    machine=self.name, problem=f"shows no blocks: {self.machine.cautions()}"
                )

    def _await_port(self, *, opened: bool) -> None:
        while self._port() is not opened:
            pass

    def _port(self) -> bool:
        ports = self.qmp("query-chardev")
        return any(port["frontend-open"] for port in ports if port["label"] == "qga")

    def hold_kernel_memory(self, node: int, pipes: int, pinned: str = "") -> int:
        self.sh("rm -f /tmp/held")
        pid = int(self.sh(f"hold {node} {pipes} /tmp/held {pinned} > /dev/null 2>&1 & echo $!"))
        assert self.sh(f"while [ ! -e /tmp/held ] && [ -d /proc/{pid} ]; do :; done; ls /tmp/held")
        return pid

    def objects(self) -> set[str]:
        """Backends and notes that QEMU holds."""
        found = self.qmp("qom-list", {"path": "/objects"})
        return {item["name"] for item in found if item["type"].startswith("child<")}

    def devices(self) -> dict[str, int]:
        """QEMU's own account: the bytes that each device gives."""
        found = [item["data"] for item in self.qmp("query-memory-devices")]
        return {data["id"]: data["size"] for data in found}


def blocks_of(snapshot: Snapshot) -> dict[int, tuple[str, str | None, str | None]]:
    """What each block of a device is: state, zone, device."""
    return {
        block.block: (block.state, block.zone, block.device)
        for block in snapshot.blocks
        if block.device is not None
    }


def ask(
    folder: Path,
    labs: Mapping[str, Lab],
    request: Request,
    *,
    conditions: Conditions | None = None,
    listener: Callable[[Event], None] = lambda _event: None,
    until: float | None = None,
) -> Ending:
    """Carry a request out on guests by the names that it gives them."""
    machines = {lab.name: lab.machine for lab in labs.values()}
    conductor = Conductor(machines=machines, folder=folder, listener=listener, until=until)
    return conductor.begin(Operation(request=request, conditions=conditions or Conditions()))


@contextmanager
def booted(name: str, kernel: str, *, dimms: int = 2, virtio: int = GIB) -> Iterator[Lab]:
    """A guest of one GiB, whose second node has DIMMs and a virtio-mem device."""
    guest = Guest(name, bound=True)
    shape = GuestShape(
        kernel=kernel,
        nodes=(GIB, 0),
        command_line=LINE,
        dimms=(BootDimm(size_bytes=DIMM, node=NodeId(1)),) * dimms,
        virtio_mem=(VirtioMemShape(size_bytes=virtio, node=NodeId(1)),),
        agent=True,
    )
    guest.up(shape, carry_compiled(HOLD, "/bin/hold", carry_workload(Carried())))
    try:
        lab = Lab(guest)
        lab.await_agent()
        yield lab
    finally:
        guest.down()


@contextmanager
def two_guests(kernel: str) -> Iterator[tuple[Lab, Lab]]:
    """Two guests at once."""
    need_guests(kernel)
    with (
        lab_folder_of_its_own(),
        booted("giver", kernel) as giver,
        booted("taker", kernel, dimms=0) as taker,
    ):
        yield giver, taker


@contextmanager
def one_guest(kernel: str) -> Iterator[Lab]:
    """One guest."""
    need_guests(kernel)
    with lab_folder_of_its_own(), booted("one", kernel) as lab:
        yield lab
