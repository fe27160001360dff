"""What the model costs: booting and listing a large machine, and hot-adding a large device.

Run it with ``make bench``, or by itself: ``python benchmarks/bench_model.py``.
"""

import json
import resource
import subprocess
import sys
import time
from statistics import median

from memhp.core.command_line import parse_command_line
from memhp.core.geometry import GIB, MIB, TIB, NodeId
from memhp.core.ranges import PhysRange
from memhp.core.words import OnlineType
from memhp.model.acpi_memory import plug_in
from memhp.model.boot import boot
from memhp.model.devices import DimmSlot
from memhp.model.firmware import USABLE, Affinity, Firmware, MapEntry
from memhp.model.kernel import Kernel
from memhp.model.profile import PROFILES
from memhp.model.steps import run
from memhp.model.tree.tree import Tree

ROUNDS = 5


def machine(size_bytes: int) -> Kernel:
    """A machine of one node with 128 MiB blocks set by hand."""
    memory = PhysRange(start=0, end=size_bytes)
    firmware = Firmware(
        memory_map=(MapEntry(range=memory, kind=USABLE),),
        affinities=(
            Affinity(range=PhysRange(start=0, end=1 << 46), node=NodeId(0), hotpluggable=False),
        ),
        cpu_nodes=(NodeId(0),),
    )
    line = parse_command_line("memhp_default_state=offline")
    return boot(firmware, line, PROFILES["6.12"], block_size_bytes=128 * MIB)


def list_blocks(kernel: Kernel) -> int:
    """Read what a lister reads of every block; returns how many there are."""
    tree = Tree(kernel)
    folder = "/sys/devices/system/memory"
    count = 0
    for name in tree.list(folder):
        if name.startswith("memory"):
            tree.read(f"{folder}/{name}/state")
            count += 1
    return count


def add_device(kernel: Kernel, size_bytes: int) -> float:
    """Hot-add a DIMM and bring every block of it online; returns seconds."""
    end = kernel.regions[-1].end_pfn << 12
    slot = DimmSlot(name="d", index=0, size_bytes=size_bytes, node=NodeId(0), start=end)
    kernel.settings.auto_online = OnlineType.ONLINE_MOVABLE
    began = time.perf_counter()
    verdict = run(plug_in(kernel, slot))
    seconds = time.perf_counter() - began
    assert verdict.refusal is None
    return seconds


def peak_mib() -> float:
    """The largest this process has been."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def child(name: str) -> dict[str, float]:
    """Run one measurement in a process of its own, so that its memory is its own."""
    done = subprocess.run(
        [sys.executable, __file__, name], capture_output=True, text=True, check=True
    )
    result: dict[str, float] = json.loads(done.stdout)
    return result


def measure_boot_and_list() -> dict[str, float]:
    began = time.perf_counter()
    kernel = machine(16 * TIB)
    booted = time.perf_counter()
    count = list_blocks(kernel)
    listed = time.perf_counter()
    return {
        "blocks": count,
        "boot_s": booted - began,
        "list_s": listed - booted,
        "peak_mib": peak_mib(),
    }


def measure_command() -> dict[str, float]:
    """The same as a whole command, with the interpreter's start."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "memhp", "ls", "-a", "-M", "model:rack16t-128m"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = sum(1 for _ in process.stdout)
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return {"lines": lines, "command_s": seconds, "peak_mib": peak}


def measure_add() -> dict[str, float]:
    kernel = machine(4 * TIB)
    seconds = add_device(kernel, TIB)
    return {"blocks": TIB / (128 * MIB), "add_s": seconds, "peak_mib": peak_mib()}


MEASUREMENTS = {
    "boot": measure_boot_and_list,
    "command": measure_command,
    "add": measure_add,
}


def report(name: str, key: str) -> None:
    rounds = [child(name) for _ in range(ROUNDS)]
    shown = ", ".join(f"{k} {median(r[k] for r in rounds):.3f}" for k in rounds[0])
    print(f"{name}: {shown}  ({key}: min {min(r[key] for r in rounds):.3f})")


def curve() -> None:
    """Cost a block against the size of the machine: it should be flat."""
    print("size of machine, boot (us a block), hot-add and online 64 GiB (us a block):")
    for size in (1, 2, 4, 8, 16, 32):
        began = time.perf_counter()
        kernel = machine(size * TIB)
        boot_us = (time.perf_counter() - began) * 1e6 / (size * TIB / (128 * MIB))
        add_us = add_device(kernel, 64 * GIB) * 1e6 / 512
        print(f"  {size:>2} TiB  {boot_us:8.3f}  {add_us:8.1f}")


def main() -> None:
    if len(sys.argv) > 1:
        print(json.dumps(MEASUREMENTS[sys.argv[1]]()))
        return
    print(f"medians of {ROUNDS} runs, each in a process of its own")
    report("boot", "list_s")
    report("add", "add_s")
    report("command", "command_s")
    curve()


if __name__ == "__main__":
    main()
