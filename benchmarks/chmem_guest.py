"""A guest in which a tool takes memory out of its own machine, and what came of it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from memhp.core.errors import ContactLost
from memhp.core.geometry import GIB, MIB, NodeId
from memhp.core.guest_shape import BootDimm, GuestShape
from memhp.machines.lab.guest import Guest
from memhp.machines.lab.serial_shell import SerialShell
from memhp.machines.lab.workload import LEND_PAGES, Workload, carry_workload, start_workload

CLOCK = ("-icount", "shift=1")
"""The guest's time is what it has executed (2 ns an instruction), whatever else the host does."""
MEMORY = "/sys/devices/system/memory"
LOWER, UPPER, HIGHEST = range(32, 36), range(36, 40), 39
PROBE = Path(__file__).with_name("chmem_probe.py")
_PATIENCE = 600.0
"""Seconds of the host: the guest's may be slower."""
_KILLED = frozenset({128 + 9, 124})
_HUGE_PAGES, _HUGE_PAGES_USED = 40, 30
_HOLD_HUGE = (
    "import mmap, signal; "
    f"m = mmap.mmap(-1, {_HUGE_PAGES_USED} << 21, flags=0x40022); "
    f"m.write(bytes(1 << 21) * {_HUGE_PAGES_USED}); print('ready', flush=True); signal.pause()"
)
"""With MAP_HUGETLB, which Python's module has no name for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What lies in the machine, and how much of it is asked for.

    The guest has ``boot`` bytes, and a DIMM whose eight blocks are movable. The
    upper half comes online before the load of ``load`` bytes starts, the lower
    one after it. ``pinned`` and ``huge`` is what the highest block holds;
    ``free_below`` tells that there is as much free as is asked for, elsewhere.
    """

    name: str
    asked: str
    load: int
    boot: int = 2 * GIB
    pinned: bool = False
    huge: bool = False
    free_below: bool = False

    @property
    def stuck(self) -> bool:
        """Whether the highest block never goes."""
        return self.pinned or self.huge


SCENARIOS = (
    Scenario(
        name="upper half full, lower half free", asked="512M", load=480 * MIB, free_below=True
    ),
    Scenario(name="a pinned page in the highest block", asked="1G", load=480 * MIB, pinned=True),
    Scenario(
        name="huge pages in the highest block, some of them free",
        asked="1G",
        load=400 * MIB,
        huge=True,
    ),
    Scenario(name="more asked for than there is room", asked="1G", load=1000 * MIB, boot=GIB),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What came of one run; ``seconds`` from the first write to the last change of a block."""

    blocks: int
    seconds: float
    returned: bool
    migrated: int
    stalls: tuple[float, ...]
    killed: int
    said: str


def taken_by(scenario: Scenario, kernel: str, command: str, *, seed: int, limit: float) -> Taken:
    """Boot a guest, load it, and let a command take memory out of it.

    The command ends itself, or is ended, after ``limit`` seconds.
    """
    guest = Guest("chmem", bound=True)
    shape = GuestShape(
        kernel=kernel,
        nodes=(scenario.boot,),
        dimms=(BootDimm(size_bytes=GIB, node=NodeId(0)),),
        shares_root=True,
        command_line="memhp_default_state=offline nokaslr numa_balancing=disable",
    )
    guest.up(shape, carry_workload(), CLOCK)
    try:
        workload = _load(guest, scenario, seed)
        with guest.shell() as shell:
            taken = _measured(shell, command, limit)
        _check(guest, workload, taken)
    finally:
        guest.down()
    return taken


def _load(guest: Guest, scenario: Scenario, seed: int) -> Workload:
    """Fill it, from the highest block on."""
    with guest.shell() as shell:
        if scenario.pinned:
            _online(shell, [HIGHEST])
            shell.run(f"host python3 {LEND_PAGES} /tmp/lent > /dev/null 2>&1 &")
            shell.run("until [ -e /host/tmp/lent ]; do sleep 0.1; done")
        if scenario.huge:
            _online(shell, [HIGHEST])
            shell.run(f"echo {_HUGE_PAGES} > /proc/sys/vm/nr_hugepages")
            _start(shell, f'python3 -c "{_HOLD_HUGE}"', "huge")
        _online(shell, UPPER)
    workload = start_workload(guest, scenario.load, seed, 0)
    with guest.shell() as shell:
        _online(shell, LOWER)
        # Both tools from a warm cache.
        shell.run("host chmem --version; host memhp --version; host memhp census -M linux:", 120)
    return workload


def _measured(shell: SerialShell, command: str, limit: float) -> Taken:
    online = _nr_online(shell)
    probe = _start(shell, f"python3 {PROBE} /tmp/told 0 {HIGHEST}", "probe")
    # What measures must not be what is killed for want of memory.
    # The kernel may kill the load or the tool for want of memory, and not those who measure.
    shell.run(f"for p in {probe} $$; do echo -1000 > /proc/$p/oom_score_adj; done")
    migrated, killed = _counter(shell, "pgmigrate_success"), _counter(shell, "oom_kill")
    command = f"timeout -s KILL {limit + 10:.0f} {command} > /tmp/said 2>&1"
    code, _ = shell.run(f"( echo 0 > /proc/self/oom_score_adj; {command} )", _PATIENCE)
    # Where memory is short, the kernel may have killed the shell, and this is another.
    shell.run("true")
    migrated = _counter(shell, "pgmigrate_success") - migrated
    shell.run(f"kill {probe}; while [ -d /proc/{probe} ]; do sleep 0.1; done")
    told = json.loads(shell.run("cat /host/tmp/told")[1])
    times = [time for time, _, _ in told["changes"]]
    return Taken(
        blocks=online - _nr_online(shell),
        seconds=times[-1] - times[0] if times else 0.0,
        returned=code not in _KILLED,
        migrated=migrated,
        stalls=tuple(took for took, _ in told["stalls"]),
        killed=_counter(shell, "oom_kill") - killed,
        said=shell.run("cat /tmp/said")[1],
    )


def _check(guest: Guest, workload: Workload, taken: Taken) -> None:
    """No page of the load may be lost, unless the kernel has killed it for want of memory."""
    try:
        bad = workload.check().bad
    except ContactLost:
        if taken.killed:
            return
        raise
    if bad:
        raise ContactLost(machine=guest.name, problem=f"has lost {bad} pages of its workload")


def _online(shell: SerialShell, blocks: Sequence[int]) -> None:
    for number in blocks:
        shell.run(f"echo online_movable > {MEMORY}/memory{number}/state")


def _nr_online(shell: SerialShell) -> int:
    return int(shell.run(f"grep -l online {MEMORY}/memory*/state | wc -l")[1])


def _start(shell: SerialShell, command: str, name: str) -> int:
    """Start a program of the host, and wait until it says something; returns its id."""
    _, text = shell.run(f"host {command} > /tmp/{name}.out 2>&1 & echo $!")
    shell.run(f"until [ -s /tmp/{name}.out ]; do sleep 0.1; done")
    return int(text.split()[-1])


def _counter(shell: SerialShell, name: str) -> int:
    _, text = shell.run(f"grep '^{name} ' /proc/vmstat")
    return int(text.split()[-1])
