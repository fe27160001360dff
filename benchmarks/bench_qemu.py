"""Evacuating and removing a loaded DIMM of 1 GiB in a real guest: memhp beside the bare sequence.

The bare sequence is a loop of the guest's shell that writes the state files, and
``device_del``. Both in turns, each with the DIMM filled anew.

Run it with ``make bench``, or by itself: ``python benchmarks/bench_qemu.py``.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from memhp.core.errors import MachineError
from memhp.core.geometry import GIB, MIB
from memhp.core.guest_shape import GuestShape
from memhp.machines.lab.accelerator import Accel
from memhp.machines.lab.guest import Guest
from memhp.machines.lab.kernels import KERNELS
from memhp.machines.lab.monitor import monitor_of
from memhp.machines.lab.workload import Workload, carry_workload, start_workload
from memhp.machines.qemu.physical import Wanted

ROUNDS = 5
BLOCK = 128 * MIB
LOAD = 768 * MIB
MOST = 1.1
SHAPE = GuestShape(
    kernel=KERNELS[0],
    nodes=(2 * GIB, 0),
    command_line="memhp_default_state=online_movable",
    agent=True,
)
_BARE = """for n in $(seq {last} -1 {first}); do
echo offline > /sys/devices/system/memory/memory$n/state || break; done"""


def load(guest: Guest, seed: int) -> Workload:
    """Add the DIMM, and fill it with what a process holds; the process stands still meanwhile."""
    with monitor_of(guest) as monitor:
        answer = monitor.plug(Wanted(name="dimm0", size_bytes=GIB, node=1))
    if answer.status != 0:
        raise MachineError(machine=guest.name, problem=f"does not take the DIMM ({answer})")
    workload = start_workload(guest, LOAD, seed, 1)
    workload.freeze(still=True)
    return workload


def bare(guest: Guest, first: int) -> None:
    """What a script would do."""
    with guest.shell() as shell:
        code, text = shell.run(_BARE.format(first=first, last=first + 7), 600)
    if code != 0:
        raise MachineError(machine=guest.name, problem=f"does not let a block go ({text})")
    with monitor_of(guest) as monitor:
        if not monitor.unplug("dimm0").removed:
            raise MachineError(machine=guest.name, problem="does not let the DIMM go")


def by_memhp(guest: Guest, _first: int) -> None:
    """The same as a command, with its plan, its journal and its checks."""
    memhp = str(Path(sys.executable).parent / "memhp")
    command = [memhp, "remove", "dimm0", "-M", f"qemu:{guest.name}"]
    subprocess.run(command, capture_output=True, check=True)


def timed(guest: Guest, seed: int, way: Callable[[Guest, int], None]) -> float:
    workload = load(guest, seed)
    with monitor_of(guest) as monitor:
        first = monitor.address_of("dimm0") // BLOCK
    start = time.perf_counter()
    way(guest, first)
    took = time.perf_counter() - start
    workload.freeze(still=False)
    if workload.check().bad:
        raise MachineError(machine=guest.name, problem="has lost data of its workload")
    workload.stop()
    return took


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="memhp-bench-") as folder:
        os.environ |= {"MEMHP_LAB_DIR": folder, "MEMHP_STATE_DIR": f"{folder}/journal"}
        guest = Guest("bench", bound=True)
        try:
            accel = guest.up(SHAPE, carry_workload(), accel=Accel.AUTO)
            return compare(guest, accel)
        except MachineError as error:
            print(f"no guest here: {error}")
            return 0
        finally:
            if guest.folder.is_dir():
                guest.down()


def compare(guest: Guest, accel: Accel) -> int:
    print(
        f"a DIMM of 1 GiB with {LOAD // MIB} MiB in use, Linux {KERNELS[0]} under {accel.upper()}, "
        f"{ROUNDS} rounds in turns"
    )
    pairs = [
        (timed(guest, 2 * n + 1, by_memhp), timed(guest, 2 * n + 2, bare)) for n in range(ROUNDS)
    ]
    ours, theirs = (median(times) for times in zip(*pairs, strict=True))
    print(f"memhp remove    {ours:6.2f} s   {[round(pair[0], 2) for pair in pairs]}")
    print(f"bare sequence   {theirs:6.2f} s   {[round(pair[1], 2) for pair in pairs]}")
    ratio = ours / theirs
    judged = "within" if ratio <= MOST else "more than"
    print(f"memhp takes {ratio:.2f} times as long: {judged} the {MOST} that it aims at")
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
