"""What pages cost: filling a machine, allocating and freeing in batches, taking a block offline.

Run it with ``make bench``, or by itself: ``python benchmarks/bench_pages.py``.
Each measurement runs in a process of its own, so that its memory is its own.
"""

import cProfile
import json
import pstats
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import islice
from statistics import median

import numpy as np

from memhp.core.command_line import parse_command_line
from memhp.core.geometry import GIB, MIB, NodeId, bytes_of
from memhp.core.ranges import PhysRange
from memhp.model.boot import boot
from memhp.model.firmware import USABLE, Affinity, Firmware, MapEntry
from memhp.model.kernel import Kernel
from memhp.model.offline import device_offline
from memhp.model.pages.allocate import Asked, Request
from memhp.model.pages.build import open_pages
from memhp.model.pages.gfp import GFP_HIGHUSER_MOVABLE
from memhp.model.pages.machine_pages import MachinePages
from memhp.model.pages.mixed import asks, fill
from memhp.model.pages.words import PageKind
from memhp.model.profile import PROFILES
from memhp.model.steps import run

Turn = Callable[[MachinePages, int, int], None]
"""One batch of so many requests of so many pages: allocated and freed."""
ROUNDS = 3
SIZES_GIB = (64, 256, 1024, 4096)
BATCHES = (64, 256, 1024)
LENGTHS = (1, 8, 64, 512)
IDLE_GIB = 16384


def machine(size_gib: int, line: str = "") -> Kernel:
    """A machine of two equal nodes with 128 MiB blocks set by hand."""
    half = size_gib * GIB // 2
    memory = PhysRange(start=0, end=2 * half)
    nodes = [(PhysRange.at(number * half, half), NodeId(number)) for number in (0, 1)]
    firmware = Firmware(
        memory_map=(MapEntry(range=memory, kind=USABLE),),
        affinities=tuple(
            Affinity(range=part, node=node, hotpluggable=node == 1) for part, node in nodes
        ),
        cpu_nodes=(NodeId(0), NodeId(1)),
    )
    return boot(firmware, parse_command_line(line), PROFILES["6.12"], block_size_bytes=128 * MIB)


def peak_mib() -> float:
    """The largest this process has been."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def child(name: str, argument: str = "") -> dict[str, float]:
    """Run one measurement in a process of its own."""
    command = [sys.executable, __file__, name, argument]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def measure_fill(size_gib: str) -> dict[str, float]:
    """Fill a machine to nine tenths with "mixed"."""
    kernel = machine(int(size_gib))
    began, cpu_began = time.perf_counter(), time.process_time()
    filled = fill(kernel, open_pages(kernel), 90, 1)
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu_began
    sizes = [bytes_of(ask.count << ask.order) for ask in islice(asks(1), 20000)]
    return {
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "pages": filled.pages,
        "batches": filled.batches,
        "requests": filled.requests,
        "single_kernel_percent": 100 * filled.single_kernel_pages / filled.pages,
        "freed_percent": 100 * filled.freed_pages / filled.pages,
        "median_request_kib": float(np.median(sizes)) / 1024,
        "peak_mib": peak_mib(),
    }


def measure_batches(_: str) -> dict[str, float]:
    """Allocate and free in batches: pages a second, and a second of the processor.

    ``64 x 8 for 1``: a batch of 64 requests of 8 pages each by one owner,
    which is one ``Request`` of the model with the number of pages; ``for 64``:
    as many requests as owners, each with a holding of its own
    (``allocate_all()``, ``free_all()``).
    """
    pages = open_pages(machine(64))
    found = {}
    for batch in BATCHES:
        for length in LENGTHS:
            for owners, turn in ((1, _for_one), (batch, _for_each)):
                name = f"{batch} x {length} for {owners}"
                found[name], found[f"{name}, processor"] = _rates(pages, batch, length, turn)
    return found


def _rates(pages: MachinePages, batch: int, length: int, turn: Turn) -> tuple[float, float]:
    rounds = max(1, 400_000 // (batch * length))
    began, cpu_began = time.perf_counter(), time.process_time()
    for _ in range(rounds):
        turn(pages, batch, length)
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu_began
    # Each page is allocated once and freed once.
    number = 2 * rounds * batch * length
    return number / seconds, number / cpu_seconds


def _for_one(pages: MachinePages, batch: int, length: int) -> None:
    request = Request(gfp=GFP_HIGHUSER_MOVABLE, node=NodeId(0), count=batch * length)
    holding = pages.allocate(request, PageKind.ANON, "x")
    assert holding is not None
    pages.free(holding)


def _for_each(pages: MachinePages, batch: int, length: int) -> None:
    request = Request(gfp=GFP_HIGHUSER_MOVABLE, node=NodeId(0), count=length)
    asked = [Asked(request, PageKind.ANON, f"owner {number}") for number in range(batch)]
    pages.free_all([holding for holding in pages.allocate_all(asked) if holding is not None])


def measure_offline(size_gib: str) -> dict[str, float]:
    """Take full blocks of movable single pages offline, and untouched ones: medians, in ms."""
    kernel = machine(int(size_gib), "movable_node")
    pages = open_pages(kernel)
    first = int(size_gib) * GIB // 2 // (128 * MIB)
    request = Request(gfp=GFP_HIGHUSER_MOVABLE, node=NodeId(1), count=2048)
    # Sixty blocks of memory that many hold, 8 MiB each.
    for owner in range(60 * 16):
        pages.allocate(request, PageKind.ANON, f"owner {owner}")
    full = [number for number in range(first + 1, first + 60) if _movable(pages, number) == 32768]
    assert len(full) > 20
    idle = range(first + 100, first + 140)
    found = {
        "full_ms": median(took := [_offline_ms(kernel, number) for number in full[:20]]),
        "full_least_ms": min(took),
        "idle_ms": median(_offline_ms(kernel, number) for number in idle),
    }
    return found | {"peak_mib": peak_mib()}


def _movable(pages: MachinePages, number: int) -> int:
    codes = pages.frames.state[number * 32768 : (number + 1) * 32768]
    return int(np.count_nonzero(codes == 0x20))


def _offline_ms(kernel: Kernel, number: int) -> float:
    began = time.perf_counter()
    assert run(device_offline(kernel, number))
    return (time.perf_counter() - began) * 1e3


def measure_idle(_: str) -> dict[str, float]:
    """131,072 blocks, one page of them touched."""
    kernel = machine(IDLE_GIB)
    before = peak_mib()
    began = time.perf_counter()
    pages = open_pages(kernel)
    pages.allocate(Request(gfp=GFP_HIGHUSER_MOVABLE, node=NodeId(0)), PageKind.ANON, "x")
    seconds = time.perf_counter() - began
    blocks = sum(run.end - run.start for run in kernel.blocks)
    return {"blocks": blocks, "touch_s": seconds, "before_mib": before, "peak_mib": peak_mib()}


def measure_where(_: str) -> dict[str, float]:
    """Where the time of filling 64 GiB goes: the share of each module, in percent."""
    kernel = machine(64)
    pages = open_pages(kernel)
    profile = cProfile.Profile()
    profile.runcall(fill, kernel, pages, 90, 1)
    shares: dict[str, float] = {}
    stats = pstats.Stats(profile)
    total = 0.0
    for (file, _line, _name), entry in stats.stats.items():  # type: ignore[attr-defined]
        module = file.rsplit("/", 1)[-1] if "memhp" in file else "numpy and Python itself"
        shares[module] = shares.get(module, 0.0) + entry[2]
        total += entry[2]
    ordered = sorted(shares.items(), key=lambda item: -item[1])[:9]
    return {module: 100 * seconds / total for module, seconds in ordered}


MEASUREMENTS = {
    "fill": measure_fill,
    "batches": measure_batches,
    "offline": measure_offline,
    "idle": measure_idle,
    "where": measure_where,
}


def show(title: str, found: dict[str, float]) -> None:
    print(f"{title}: " + ", ".join(f"{name} {value:,.2f}" for name, value in found.items()))


def medians(name: str, argument: str = "") -> dict[str, float]:
    rounds = [child(name, argument) for _ in range(ROUNDS)]
    return {key: median(each[key] for each in rounds) for key in rounds[0]}


def main() -> None:
    if len(sys.argv) > 1:
        print(json.dumps(MEASUREMENTS[sys.argv[1]](sys.argv[2] if len(sys.argv) > 2 else "")))
        return
    print(f"medians of {ROUNDS} runs, each in a process of its own; filling 1 TiB once")
    show("1 TiB of mixed", child("fill", "1024"))
    show("idle", medians("idle"))
    show("allocate and free, pages a second", medians("batches"))
    for size_gib in SIZES_GIB:
        show(f"offline on {size_gib} GiB", medians("offline", str(size_gib)))
    show("time by module, percent", child("where"))


if __name__ == "__main__":
    main()
