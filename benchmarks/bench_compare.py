"""What a comparison costs, and what this machine takes to copy a page (``copy_page_ns``)."""

import ctypes
import resource
import time
from statistics import median

from memhp.core.geometry import GIB, PAGE_SIZE_BYTES
from memhp.model.boot_inputs import inputs_of
from memhp.model.compare.costs import shipped_costs
from memhp.model.compare.facts import Combination
from memhp.model.compare.load import Load
from memhp.model.compare.run_one import Run, run_one
from memhp.model.description import start
from memhp.model.shipped import load_shipped

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


def main() -> None:
    figures = sorted(copy_page_ns() for _ in range(_ROUNDS))
    print(
        f"copying a page: {median(figures):.0f} ns (least {figures[0]:.0f}); "
        f"the cost model has {shipped_costs()['copy_page_ns']:.0f}"
    )
    inputs = inputs_of(start(load_shipped("server")))
    for policy in ("normal", "movable-node"):
        combination = Combination(policy=policy, memmap="ordinary", migrate_vmalloc=False)
        began = time.process_time()
        facts = run_one(Run(inputs=inputs, combination=combination, load=Load(), seed=1))
        seconds = time.process_time() - began
        print(
            f"one run of 'server' (128 GiB), {policy}: {seconds:.1f} s; "
            f"{facts.out_bytes / GIB:.0f} of {facts.total_bytes / GIB:.0f} GiB came out"
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"peak memory: {peak / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
