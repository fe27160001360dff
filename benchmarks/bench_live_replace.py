"""A full DIMM of 1 GiB leaves a real guest by memhp inside it, comes back, and nothing is lost.

Each round: a process fills the DIMM, which is movable, and goes on rewriting
what it holds; ``memhp replace`` in the guest takes the blocks offline and ejects
the DIMM, another is plugged in from outside, and ``memhp resume`` brings its
blocks online. Every page is verified all along by the process, and once more by
the checks after each half. Printed are the seconds of each half, the start of
memhp over 9p included.

Run it with ``make bench``, or by itself: ``python benchmarks/bench_live_replace.py``.
"""

import signal
import sys
import time
from statistics import median

from memhp.core.errors import ContactLost, MachineError
from memhp.core.geometry import GIB, MIB, NodeId
from memhp.core.guest_shape import GuestShape
from memhp.core.outcome import Done
from memhp.core.plan import AddDevice, Step
from memhp.machines.lab.guest import Guest
from memhp.machines.lab.kernels import KERNELS
from memhp.machines.lab.machine import LabMachine
from memhp.machines.lab.workload import carry_workload, start_workload

ROUNDS = 3
SLOT = "PNP0C80:00"
LOAD = 1000 * MIB
_SECONDS = 600.0
_ZONES = f"cat /sys/bus/acpi/devices/{SLOT}/physical_node*/valid_zones | sort | uniq -c"


def main() -> int:
    for kernel in KERNELS:
        shape = GuestShape(
            kernel=kernel,
            nodes=(2 * GIB,),
            shares_root=True,
            command_line="memhp_default_state=offline numa_balancing=disable",
        )
        guest = Guest(f"live-{kernel.replace('.', '-')}", bound=True)
        guest.up(shape, carry_workload())
        try:
            measure(guest, kernel)
        finally:
            guest.down()
    return 0


def measure(guest: Guest, kernel: str) -> None:
    plug(guest)
    memhp(guest, f"online {SLOT} --zone movable", 0)
    workload = start_workload(guest, LOAD, 7, 0)
    out, back = [], []
    for _ in range(ROUNDS):
        out.append(memhp(guest, f"replace {SLOT}", 7))
        bad = workload.check().bad
        plug(guest)
        back.append(memhp(guest, "resume", 0))
        found = workload.check()
        with guest.shell() as shell:
            _, zones = shell.run(_ZONES)
        if bad or found.bad or zones.split() != ["8", "Movable"]:
            raise MachineError(machine=guest.name, problem=f"lost something ({found}, {zones})")
    print(
        f"{kernel}: {ROUNDS} rounds, {found.pages} pages verified after each half, none bad, "
        f"{found.rewritten} rewritten meanwhile"
    )
    for name, times in (("emptied and ejected", out), ("found and brought online", back)):
        print(f"  {name:<24} {median(times):6.2f} s, best {min(times):.2f} s")


def plug(guest: Guest) -> None:
    """Put a DIMM of 1 GiB in, from outside."""
    machine = LabMachine(guest)
    machine.settle()
    action = AddDevice(device="dimm0", size_bytes=GIB, node=NodeId(0))
    step = Step(machine=machine.name, action=action)
    outcome = machine.apply(step, until=None, tell=lambda _progress: None)
    if not isinstance(outcome, Done):
        raise MachineError(machine=guest.name, problem=f"does not take the DIMM ({outcome})")


def memhp(guest: Guest, words: str, expected: int) -> float:
    """Run memhp in the guest on itself; returns the seconds that it took."""
    start = time.perf_counter()
    with guest.shell() as shell:
        code, text = shell.run(
            "unset MEMHP_NO_LIVE_WRITES; export MEMHP_STATE_DIR=/tmp/state; "
            f"host memhp {words} -M linux: 2>&1",
            _SECONDS,
        )
    if code != expected:
        raise ContactLost(machine=guest.name, problem=f"ended 'memhp {words}' with {code}: {text}")
    return time.perf_counter() - start


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
