"""Taking an amount of memory out of a running machine: memhp beside util-linux's chmem.

Each run has a fresh guest with a DIMM of 1 GiB whose eight blocks are movable, and
the same seeded workload in its upper half. Half a GiB is asked for, from the
inside. "upper half full": the lower half is free. "a page is pinned": one page of
the highest block is lent to a pipe, which the kernel tries to move for ever.

Printed are, of both: blocks that went, the seconds from the first block that
changed to the last, pages that were migrated, the longest time in which a
process that only wants to run did not, and processes that the kernel killed for
want of memory. A tool that does not come back is ended after a minute.

Run it with ``make bench``, or by itself: ``python benchmarks/bench_chmem.py``.
"""

import json
import shutil
import signal
import sys
from dataclasses import dataclass
from statistics import median

from memhp.core.errors import MachineError
from memhp.core.geometry import GIB, MIB, NodeId
from memhp.core.guest_shape import BootDimm, GuestShape
from memhp.machines.lab.guest import Guest
from memhp.machines.lab.kernels import KERNELS
from memhp.machines.lab.serial_shell import SerialShell
from memhp.machines.lab.workload import LEND_PAGES, carry_workload, start_workload

ROUNDS = 3
ASKED = "512M"
SECONDS = 60
LOAD = 480 * MIB
MEMORY = "/sys/devices/system/memory"
LOWER, UPPER = range(32, 36), range(36, 40)
TOOLS = {
    "chmem": f"timeout -s KILL {SECONDS} host chmem -d {ASKED}",
    "memhp": "host env -u MEMHP_NO_LIVE_WRITES memhp offline "
    f"{ASKED} --at-least 128M --deadline {SECONDS}s --stall 5 -M linux:",
}
PROBE = """
import json, signal, time
names = [f"/sys/devices/system/memory/memory{n}/state" for n in range(32, 40)]
files = [open(name) for name in names]
def states():
    found = []
    for file in files:
        file.seek(0)
        found.append(file.read())
    return found
buffer, seen, changes, longest = bytearray(1 << 24), states(), [], 0.0
def end(*_):
    with open("/tmp/probe", "w") as out:
        json.dump({"first": changes[0] if changes else 0, "last": changes[-1] if changes else 0,
                   "longest": longest}, out)
    raise SystemExit
signal.signal(signal.SIGTERM, end)
last = time.monotonic()
print("ready", flush=True)
while True:
    for place in range(0, len(buffer), 4096 * 16):
        buffer[place] = 1
    now = states()
    here = time.monotonic()
    longest, last = max(longest, here - last), here
    if now != seen:
        seen = now
        changes.append(here)
    time.sleep(0.01)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What came of one run."""

    blocks: int
    seconds: float
    migrated: int
    longest: float
    killed: int


def main() -> int:
    if shutil.which("chmem") is None:
        print("no chmem here: package util-linux has it")
        return 0
    for name, pinned in (("upper half full", False), ("a page is pinned", True)):
        rounds = [
            {tool: taken_by(tool, pinned=pinned, seed=seed) for tool in TOOLS}
            for seed in range(1, ROUNDS + 1)
        ]
        print(f"{name}, Linux {KERNELS[0]}, {ROUNDS} rounds in fresh guests, in turns; medians:")
        for tool in TOOLS:
            show(tool, [each[tool] for each in rounds])
    return 0


def taken_by(tool: str, *, pinned: bool, seed: int) -> Taken:
    """Boot a guest, load it, and let a tool take memory out of it."""
    guest = Guest(f"chmem-{tool}", bound=True)
    shape = GuestShape(
        kernel=KERNELS[0],
        nodes=(2 * GIB,),
        dimms=(BootDimm(size_bytes=GIB, node=NodeId(0)),),
        shares_root=True,
        command_line="memhp_default_state=offline nokaslr numa_balancing=disable",
    )
    guest.up(shape, carry_workload())
    try:
        return _measured(guest, tool, pinned=pinned, seed=seed)
    finally:
        guest.down()


def _measured(guest: Guest, tool: str, *, pinned: bool, seed: int) -> Taken:
    with guest.shell() as shell:
        if pinned:
            _online(shell, [UPPER[-1]])
            shell.run(f"host python3 {LEND_PAGES} /tmp/lent > /dev/null 2>&1 &")
            shell.run("until [ -e /host/tmp/lent ]; do sleep 0.1; done", 60)
        _online(shell, UPPER)
    workload = start_workload(guest, LOAD, seed, 0)
    with guest.shell() as shell:
        _online(shell, LOWER)
        # Both tools from a warm cache.
        shell.run("host chmem --version; host memhp --version; host memhp census -M linux:", 120)
        probe = _start(shell, PROBE, "probe")
        before, killed = _counter(shell, "pgmigrate_success"), _counter(shell, "oom_kill")
        shell.run(f"{TOOLS[tool]} > /tmp/said 2>&1", SECONDS + 60)
        migrated = _counter(shell, "pgmigrate_success") - before
        shell.run(f"kill {probe}; while [ -d /proc/{probe} ]; do sleep 0.1; done")
        told = json.loads(shell.run("cat /host/tmp/probe")[1])
        _, states = shell.run(f"cat {MEMORY}/memory3[2-9]/state")
        taken = Taken(
            blocks=states.split().count("offline"),
            seconds=told["last"] - told["first"],
            migrated=migrated,
            longest=told["longest"],
            killed=_counter(shell, "oom_kill") - killed,
        )
    if workload.check().bad:
        raise MachineError(machine=guest.name, problem="has lost data of its workload")
    return taken


def _online(shell: SerialShell, blocks: range | list[int]) -> None:
    for number in blocks:
        shell.run(f"echo online_movable > {MEMORY}/memory{number}/state")


def _start(shell: SerialShell, script: str, name: str) -> int:
    """Start a Python program in the guest, and wait until it says something; returns its id."""
    shell.run(f"cat > /host/tmp/{name}.py << 'END'\n{script}\nEND")
    _, text = shell.run(f"host python3 /tmp/{name}.py > /tmp/{name}.out 2>&1 & echo $!")
    shell.run(f"until [ -s /tmp/{name}.out ]; do sleep 0.1; done", 60)
    return int(text.split()[-1])


def _counter(shell: SerialShell, name: str) -> int:
    _, text = shell.run(f"grep '^{name} ' /proc/vmstat")
    return int(text.split()[1])


def show(tool: str, rounds: list[Taken]) -> None:
    print(
        f"  {tool}: {median(each.blocks for each in rounds):.0f} blocks "
        f"({[each.blocks for each in rounds]}), "
        f"{median(each.seconds for each in rounds):.2f} s, "
        f"{median(each.migrated for each in rounds):,.0f} pages migrated, "
        f"longest stall {median(each.longest for each in rounds):.2f} s, "
        f"{sum(each.killed for each in rounds)} killed for want of memory"
    )


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
