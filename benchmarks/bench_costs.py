"""What parameters of the cost model are on this machine, and in a guest of the lab on it.

A page is copied; the right to write is taken from a page, alone and beside
another processor that uses the same page tables; an entry of 2 MiB is split; and,
in a guest, an empty memory block is taken offline. Nothing of this host is changed.
"""

import ctypes
import os
import subprocess
import tempfile
import time
from pathlib import Path
from statistics import median

from memhp.core.geometry import GIB, PAGE_SIZE_BYTES, NodeId
from memhp.core.guest_shape import BootDimm, GuestShape
from memhp.machines.lab.carried import Carried
from memhp.machines.lab.compile_c import compile_static
from memhp.machines.lab.guest import Guest
from memhp.machines.lab.kernels import KERNELS
from memhp.model.compare.costs import shipped_costs

_SOURCE = Path(__file__).with_name("costs.c")
_PROGRAM = "/bin/costs"
_ROUNDS = 5
_PAGES = 1 << 16


def copy_page_ns() -> float:
    """Copy 256 MiB page by page, out of every cache; returns nanoseconds a page."""
    size = _PAGES * PAGE_SIZE_BYTES
    source, target = ctypes.create_string_buffer(size), ctypes.create_string_buffer(size)
    ctypes.memset(source, 1, size)
    ctypes.memmove(target, source, size)
    began = time.perf_counter()
    ctypes.memmove(target, source, size)
    return (time.perf_counter() - began) / _PAGES * 1e9


def measure_here(program: bytes) -> dict[str, float]:
    """What the program says of this machine: medians of several runs."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "costs"
        file.write_bytes(program)
        file.chmod(0o755)
        runs = [
            _figures(subprocess.run([file], capture_output=True, text=True, check=True).stdout)
            for _ in range(_ROUNDS)
        ]
    return {name: median(run[name] for run in runs) for name in runs[0]}


def measure_block(program: bytes) -> tuple[str, float]:
    """Take an empty movable block of a guest offline; gives how it ran, and nanoseconds."""
    guest = Guest("costs")
    shape = GuestShape(
        kernel=KERNELS[0],
        nodes=(GIB,),
        command_line="memhp_default_state=online_movable",
        dimms=(BootDimm(size_bytes=GIB, node=NodeId(0)),),
    )
    try:
        guest.up(shape, Carried(files={_PROGRAM: program}, executable=frozenset({_PROGRAM})))
        with guest.shell() as shell:
            _, names = shell.run("ls -d /sys/devices/system/memory/memory[0-9]* | sort -V")
            state = f"{names.split()[-1]}/state"
            return guest.accel.value, _figures(shell.run(f"{_PROGRAM} {state}", 120)[1])["block"]
    finally:
        if guest.folder.is_dir():
            guest.down()


def _figures(text: str) -> dict[str, float]:
    pairs = (line.rpartition(" ") for line in text.splitlines() if line.strip())
    return {name: float(value) for name, _, value in pairs}


def main() -> None:
    costs = shipped_costs()
    program = compile_static(_SOURCE)
    here = measure_here(program)
    accel, block = measure_block(program)
    shootdown = here["beside another"] - here["alone"]
    one_other = costs["shootdown_base_ns"] + costs["shootdown_cpu_ns"]
    rows = {
        "copy_page_ns": (median(copy_page_ns() for _ in range(_ROUNDS)), costs["copy_page_ns"]),
        "a shootdown of one other processor": (shootdown, one_other),
        "stall_page_ns (an entry changed and changed back)": (
            2 * here["alone"],
            costs["stall_page_ns"],
        ),
        "split_entry_ns": (here["split"], costs["split_entry_ns"]),
        f"block_ns (in a guest, {accel})": (block, costs["block_ns"]),
    }
    print(f"Linux {os.uname().release}; nanoseconds")
    for name, (measured, modelled) in rows.items():
        print(f"{name}: {measured:,.0f}; the cost model has {modelled:,.0f}")


if __name__ == "__main__":
    main()
