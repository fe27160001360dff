"""How often ``explain`` is right: predictions held against what offline then does, in real guests.

A guest a workload, with blocks in DMA32, Normal and Movable. Each block is looked
at, predicted, and tried once. Of "yes" and of "no" 95 % have to be right in
each kind of zone, with at most 15 % unknown.

Run it by itself: ``python benchmarks/bench_predict.py [--kernel 6.12]
[--without-kcore] [--save FILE] [WORKLOAD…]``;
``--of FILE…`` sums up what runs have saved.
"""

import argparse
import json
import os
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from memhp.core.errors import MachineError
from memhp.core.geometry import GIB, NodeId
from memhp.core.guest_shape import BootDimm, GuestShape
from memhp.machines.lab.guest import Guest
from memhp.machines.lab.initrd import HOST
from memhp.machines.lab.kernels import KERNELS

HERE = Path(__file__).parent
SECONDS = 20
"""Longest attempt at one block."""
LEAST_RIGHT = 0.95
MOST_UNKNOWN = 0.15
NEEDS_ZRAM = ("zram", "o_direct")
WORKLOADS = (
    "quiet",
    "o_direct",
    "io_uring",
    "vmsplice",
    "zram",
    "hugetlb",
    "hugetlb-used",
    "hugetlb-1g",
    "forks",
    "sockets",
    "balloon",
)
_ONLINE = """cd /sys/devices/system/memory; n=0
for m in $(ls -d memory* | sort -V); do [ $(cat $m/state) = offline ] || continue
if [ $n -lt {kernel} ]; then echo online_kernel > $m/state; else echo online_movable > $m/state; fi
n=$((n+1)); done; echo $n"""
Row = dict[str, Any]


def shape(kernel: str) -> GuestShape:
    """A guest of 1 GiB with a DIMM of which 12 blocks become Normal and 8 Movable.

    Where a huge page of 1 GiB needs room, all 20 become Normal.
    """
    return GuestShape(
        kernel=kernel,
        nodes=(GIB,),
        dimms=(BootDimm(size_bytes=5 * GIB // 2, node=NodeId(0)),),
        command_line="memhp_default_state=offline memhp.predict=1",
        shares_root=True,
    )


def rows_of(kernel: str, workload: str, seed: int, *, blind: bool = False) -> Iterator[Row]:
    """Boot a guest, go through its blocks under a workload, and put it down.

    ``blind``: page structures cannot be read, as on a kernel that is locked down.
    """
    guest = Guest(f"p{os.getpid()}", bound=True)
    guest.up(shape(kernel))
    try:
        with guest.shell() as shell:
            _, count = shell.run(_ONLINE.format(kernel=20 if workload == "hugetlb-1g" else 12))
            if count.strip() != "20":
                raise MachineError(
                    machine=guest.name, problem=f"has {count.strip()} blocks, not 20"
                )
            if workload in NEEDS_ZRAM:
                shell.run("load zram")
            if blind:
                shell.run(f"mount --bind /dev/null {HOST}/proc/kcore")
        if workload == "balloon":
            _inflate(guest)
        program = f"{HERE / 'predict_in_guest.py'} {workload} {seed} {SECONDS}"
        command = f"host env -u MEMHP_NO_LIVE_WRITES {sys.executable} {program}"
        with guest.shell() as shell:
            code, text = shell.run(command, 300)
        found = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
        if code != 0:
            print(f"{workload}: ended with {code}: {text[-300:]}", file=sys.stderr)
        yield from ({"workload": workload, **row} for row in found)
    finally:
        guest.down()


def _inflate(guest: Guest) -> None:
    """Plug a balloon into the guest, and let it take 300 MiB."""
    with guest.shell() as shell:
        shell.run("load virtio_balloon")
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(guest.monitor_path())
        said = line.makefile("rw")
        said.readline()
        asked(said, "qmp_capabilities")
        asked(said, "device_add", driver="virtio-balloon-pci", id="balloon0")
        time.sleep(4)
        asked(said, "balloon", value=7 * GIB // 2 - 400 * (1 << 20))
    with guest.shell() as shell:
        shell.run("sleep 8")


def asked(line: TextIO, command: str, **arguments: object) -> None:
    """Give QEMU's monitor a command, and wait for its answer."""
    line.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
    line.flush()
    while "event" in (answer := json.loads(line.readline())):
        pass
    if "error" in answer:
        raise SystemExit(f"{command}: {answer}")


def kind_of(zone: str) -> str:
    """Zones in which the kernel may have its own data are one kind."""
    return "Movable" if zone == "Movable" else "Normal"


def verdicts(rows: Sequence[Row], answers: str) -> dict[tuple[str, str], tuple[int, int]]:
    """For each kind of zone and answer: how many were right, of how many."""
    right: Counter[tuple[str, str]] = Counter()
    asked: Counter[tuple[str, str]] = Counter()
    for row in rows:
        zone = kind_of(row["zone"])
        naive = "yes" if zone == "Movable" else "no"
        answer = naive if answers == "naive" else row["answer"]
        asked[zone, answer] += 1
        right[zone, answer] += (answer == "yes") == row["went"] and answer != "unknown"
    return {key: (right[key], asked[key]) for key in sorted(asked)}


def show(rows: Sequence[Row]) -> bool:
    """Print the table; returns whether what was asked for holds."""
    went = sum(row["went"] for row in rows)
    print(f"\n{len(rows)} blocks, {went} went offline and {len(rows) - went} did not")
    holds = True
    for answers in ("explain", "naive"):
        for (zone, answer), (right, asked) in verdicts(rows, answers).items():
            print(f"{answers:8} {zone:8} {answer:8} {right:4} of {asked:4} right")
            if answers == "explain" and answer != "unknown":
                holds &= right >= LEAST_RIGHT * asked
    unknown = sum(row["answer"] == "unknown" for row in rows)
    print(f"unknown: {unknown} of {len(rows)}")
    return holds and unknown <= MOST_UNKNOWN * len(rows)


def show_wrong(rows: Sequence[Row]) -> None:
    """Print each prediction that was wrong, or none, with what happened."""
    for row in rows:
        if row["answer"] == "unknown" or (row["answer"] == "yes") != row["went"]:
            went = "went" if row["went"] else f"stayed: {row['reason']}"
            print(f"  {row['workload']} {row['block']} {row['zone']} said {row['answer']}, {went}")
            print(f"    {row['why']} {row['kinds']} {row['took_s']} s")


def main() -> int:
    """Measure, print, and say by the exit code whether it holds."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kernel", default=KERNELS[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--without-kcore", action="store_true", help="as where /proc/kcore cannot be read"
    )
    parser.add_argument("--save", metavar="FILE", help="keep a line of JSON a block")
    parser.add_argument(
        "--of", metavar="FILE", nargs="+", help="sum up what was kept, and boot nothing"
    )
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD")
    args = parser.parse_args()
    rows: list[Row] = []
    if args.of:
        kept = "".join(Path(name).read_text() for name in args.of)
        return 0 if show([json.loads(line) for line in kept.splitlines()]) else 1
    for workload in args.workloads or WORKLOADS:
        found = list(rows_of(args.kernel, workload, args.seed, blind=args.without_kcore))
        rows.extend(found)
        print(f"== {workload}: {len(found)} blocks", flush=True)
        show_wrong(found)
        if args.save:
            Path(args.save).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return 0 if show(rows) else 1


if __name__ == "__main__":
    sys.exit(main())
