"""Taking an amount of memory out of a running machine: memhp beside util-linux's chmem.

Each run has a fresh guest with a DIMM of 1 GiB whose eight blocks are movable, the
same seeded workload, and the same time. The tools take turns. The guest's clock counts
instructions, so what else the host does is no part of it.

Printed are, of both: blocks that went, the seconds from the first block that
changed to the last, pages that were migrated, the longest times in which a
process that only wants to run did not, and processes that the kernel killed for
want of memory; and then what of it has to hold. A tool that does not come back is
ended.

Run it with ``make bench``, or by itself: ``python benchmarks/bench_chmem.py``;
``--rounds``, ``--kernel`` and ``--only NUMBER`` do more or less of it.
"""

import argparse
import shutil
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from statistics import median

from chmem_guest import SCENARIOS, Scenario, Taken, taken_by
from memhp.machines.lab.kernels import KERNELS

SECONDS = 15
TOOLS = {
    "chmem": "timeout -s KILL {seconds} host chmem -d {asked}",
    "memhp": "host env -u MEMHP_NO_LIVE_WRITES memhp offline {asked} --at-least 128M "
    "--deadline {seconds}s -M linux:",
}
_HALF = 0.5
_ALIKE = 1.1
"""Stalls are measured in rounds of ten milliseconds."""
Rounds = Mapping[str, Sequence[Taken]]


def main() -> int:
    """Run what was asked for, print it, and tell by the exit code whether all of it holds."""
    args = _parser().parse_args()
    if shutil.which("chmem") is None:
        print("no chmem here: package util-linux has it")
        return 0
    holds = True
    for number, scenario in enumerate(SCENARIOS, 1):
        if args.only in {None, number}:
            rounds = _rounds(scenario, args.kernel, args.rounds)
            holds = _shown(scenario, rounds, args.kernel) and holds
    return 0 if holds else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kernel", default=KERNELS[0])
    parser.add_argument("--only", type=int)
    return parser


def _rounds(scenario: Scenario, kernel: str, number: int) -> Rounds:
    found: dict[str, list[Taken]] = {tool: [] for tool in TOOLS}
    for seed in range(1, number + 1):
        for tool, words in TOOLS.items():
            command = words.format(seconds=SECONDS, asked=scenario.asked)
            taken = taken_by(scenario, kernel, command, seed=seed, limit=SECONDS)
            print(f"    {tool}, {seed}: {_words(taken)}", flush=True)
            found[tool].append(taken)
    return found


def _words(taken: Taken) -> str:
    stalls = " ".join(f"{stall * 1000:.0f}" for stall in taken.stalls)
    end = f"{taken.seconds:.2f} s" if taken.returned else "never returned"
    return (
        f"{taken.blocks} blocks, {end}, {taken.migrated:,} pages migrated, longest stalls "
        f"{stalls} ms, {taken.killed} killed"
    )


def _shown(scenario: Scenario, rounds: Rounds, kernel: str) -> bool:
    """Print medians and what has to hold; tells whether it does."""
    print(f"{scenario.name}, {scenario.asked} asked for, Linux {kernel}; medians:")
    for tool, each in rounds.items():
        returned = sum(taken.returned for taken in each)
        print(
            f"  {tool}: {median(taken.blocks for taken in each):.0f} blocks, "
            f"{median(taken.seconds for taken in each):.2f} s, returned {returned} of {len(each)} "
            f"times, {median(taken.migrated for taken in each):,.0f} pages migrated, longest stall "
            f"{_stall(each) * 1000:.0f} ms (at the most "
            f"{max(taken.stalls[0] for taken in each) * 1000:.0f}), "
            f"{sum(taken.killed for taken in each)} killed for want of memory"
        )
    verdicts = dict(_verdicts(scenario, rounds["chmem"], rounds["memhp"]))
    for what, holds in verdicts.items():
        print(f"  {'yes' if holds else 'NO '} {what}", flush=True)
    return all(verdicts.values())


def _verdicts(
    scenario: Scenario, theirs: Sequence[Taken], ours: Sequence[Taken]
) -> Iterator[tuple[str, bool]]:
    pairs = list(zip(theirs, ours, strict=True))
    enough = all(us.blocks >= it.blocks for it, us in pairs if not it.killed)
    yield "never less memory taken out, where chmem took it from nobody who was killed", enough
    yield "never a process killed for want of memory", not any(us.killed for us in ours)
    yield "longest stall no worse, within a tenth", _stall(ours) <= _stall(theirs) * _ALIKE
    if scenario.stuck:
        yield "everything else is out by the deadline", all(us.blocks >= 7 for us in ours)
    elif scenario.free_below:
        half = all(us.migrated <= it.migrated * _HALF for it, us in pairs)
        yield "at most half the pages migrated", half


def _stall(rounds: Sequence[Taken]) -> float:
    return median(taken.stalls[0] for taken in rounds)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
