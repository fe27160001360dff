"""memhp inside real guests, and something goes wrong: does it end as it was promised?

At points that a seed chooses memhp is killed (between two steps, at a step, in the
middle of a write, at a removal), a driver vetoes a transition, the deadline comes
while a block migrates, the disk is full under the journal, or another program brings
the same blocks online. Then ``resume`` or ``undo``, in turns, and the whole machine
(blocks, zones, device, addresses, what memhp switches on, the data in its memory) is
held against what was promised.

Run it with ``make bench``, or by itself: ``python benchmarks/bench_faults.py [--points N]
[--seed S] [--kernel K]``. A difference is printed with what repeats it (``--point``).
"""

import argparse
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from faults_in_guest import FAULTS, Ground, ground_of, plug
from memhp.core.errors import MachineError
from memhp.core.geometry import GIB
from memhp.core.guest_shape import GuestShape
from memhp.machines.lab.guest import Guest
from memhp.machines.lab.inside import Inside
from memhp.machines.lab.kernels import KERNELS

WORDS = ("resume", "undo")


@contextmanager
def ground(kernel: str) -> Iterator[Ground]:
    """A guest of one GiB with a DIMM of 512 MiB that comes from outside."""
    guest = Guest(f"faults-{kernel.replace('.', '-')}", bound=True)
    shape = GuestShape(
        kernel=kernel,
        nodes=(GIB,),
        command_line="memhp_default_state=offline numa_balancing=disable",
        shares_root=True,
    )
    guest.up(shape)
    try:
        here = Inside(guest)
        here.run("dmesg -n 1")
        plug(guest)
        yield ground_of(here)
    finally:
        guest.down()


def measure(kernel: str, points: list[int], seed: int) -> bool:
    """Go through the points; prints the table and tells whether all ended as promised."""
    began = time.monotonic()
    tried: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    told: Counter[str] = Counter()
    left = list(points)
    while left:
        with ground(kernel) as place:
            while left:
                point = left.pop(0)
                name = list(FAULTS)[point % len(FAULTS)]
                found = _at(place, name, point, f"{seed} {kernel} {point}")
                tried[name] += 1
                told.update(place.told)
                place.told.clear()
                if found:
                    wrong[name] += 1
                    repeat = f"--kernel {kernel} --seed {seed} --point {point}"
                    print(f"  {name} ({repeat}):", *found, sep="\n    ", flush=True)
                if found or place.spoiled:
                    break
    print(f"{kernel}, seed {seed}: {len(points)} points in {time.monotonic() - began:.0f} s")
    print(f"  {'':<38}{'points':>7}{'as promised':>13}{'differences':>13}")
    for name, count in tried.items():
        print(f"  {name:<38}{count:>7}{count - wrong[name]:>13}{wrong[name]:>13}")
    moments = ", ".join(f"{count} {moment}" for moment, count in sorted(told.items()))
    print(f"  by the journal's last line: {moments}", flush=True)
    return not wrong


def _at(place: Ground, name: str, point: int, seed: str) -> list[str]:
    """One point; what cannot be gone on with counts as a difference."""
    word = WORDS[point // len(FAULTS) % len(WORDS)]
    try:
        return [f"{word}: {line}" for line in FAULTS[name](place, random.Random(seed), word)]
    except MachineError as error:
        return [str(error)]


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--points", type=int, default=40, help="on each kernel")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kernel", choices=KERNELS, action="append")
    parser.add_argument("--point", type=int, help="this one alone")
    args = parser.parse_args()
    points = list(range(args.points)) if args.point is None else [args.point]
    good = [measure(kernel, points, args.seed) for kernel in args.kernel or KERNELS]
    return 0 if all(good) else 1


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
