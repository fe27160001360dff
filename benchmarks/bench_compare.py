"""What a comparison costs: a run of the machine ``server`` under two policies."""

import resource
import time

from memhp.core.geometry import GIB
from memhp.model.boot_inputs import inputs_of
from memhp.model.compare.facts import Combination
from memhp.model.compare.load import Load
from memhp.model.compare.run_one import Run, run_one
from memhp.model.description import start
from memhp.model.shipped import load_shipped


def main() -> None:
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
