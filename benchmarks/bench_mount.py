"""A mounted model: what a write costs beside the same call in the process, and ``lsmem`` on it.

Run it with ``make bench``, or by itself: ``python benchmarks/bench_mount.py``.
``bench_mount.py --count ADDRESS FOLDER`` is the server that counts what it is asked for.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from memhp.core.errors import MemhpError
from memhp.model.description import start
from memhp.model.shipped import load_shipped, shipped_text
from memhp.model.store import StateFile
from memhp.model.tree.tree import Tree
from memhp.serving import serve as serving
from memhp.serving.fuse_operations import FuseOperations
from memhp.serving.mounted import start_mounted

MACHINE = "rack16t"
WRITES = 400
ROUNDS = 3
BLOCK = "sys/devices/system/memory/memory4000/state"
WORDS = ("offline", "online_movable")
KINDS = ("getattr", "open", "read", "readdir", "readlink", "release", "write")


def seconds_of(write: Callable[[str], object], word: str) -> float:
    began = time.perf_counter()
    write(word)
    return time.perf_counter() - began


def written(path: Path) -> Callable[[str], object]:
    def write(word: str) -> None:
        handle = os.open(path, os.O_WRONLY)
        os.write(handle, word.encode())
        os.close(handle)

    return write


def compare_writes(title: str, inside: Callable[[str], object], folder: Path) -> None:
    """The same words in turns; the file is opened and closed for each, as a shell does it."""
    outside = written(folder / BLOCK)
    own: list[float] = []
    mounted: list[float] = []
    for number in range(WRITES):
        word = WORDS[number % 2]
        own.append(seconds_of(inside, word))
        mounted.append(seconds_of(outside, word))
    more = (median(mounted) - median(own)) * 1000
    print(f"{title}: {WRITES} writes in turns, medians")
    print(f"  in the process  {median(own) * 1000:7.3f} ms")
    print(f"  mounted         {median(mounted) * 1000:7.3f} ms, {more:.3f} ms more")


def writes(folder: Path) -> None:
    tree = Tree(start(load_shipped(MACHINE)))
    mount = folder / "in-memory"
    mount.mkdir()
    with start_mounted(MACHINE, mount):
        compare_writes("a machine in memory", lambda word: tree.write(f"/{BLOCK}", word), mount)
    files = [folder / "one.machine", folder / "two.machine"]
    for file in files:
        StateFile.create(file, shipped_text(MACHINE)).close()
    with StateFile.open(files[0]) as state, start_mounted(str(files[1]), mount):

        def inside(word: str) -> None:
            with state.change("write") as kernel:
                Tree(kernel).write(f"/{BLOCK}", word)

        compare_writes("a machine in a state file", inside, mount)


def listing(folder: Path) -> None:
    """``lsmem`` of every block; then one goes offline, and the next list shows it."""
    mount = folder / "listed"
    mount.mkdir()
    with start_mounted(MACHINE, mount):
        print(f"lsmem --sysroot on {MACHINE}, {ROUNDS} rounds")
        seconds = [lsmem(mount)[0] for _ in range(ROUNDS)]
        print(f"  min {min(seconds):.2f} s, median {median(seconds):.2f} s")
        (mount / BLOCK).write_text("offline")
        shown = lsmem(mount)[1].partition("\n\n")[0]
        print(f"  after an offline it shows it: {'offline' in shown}")


def lsmem(mount: Path) -> tuple[float, str]:
    began = time.perf_counter()
    done = subprocess.run(
        ["lsmem", "-a", "--sysroot", str(mount)], capture_output=True, text=True, check=False
    )
    return time.perf_counter() - began, done.stdout


def where_it_goes(folder: Path) -> None:
    """Operations by kind, with the processor time that each takes in our own Python."""
    mount = folder / "counted"
    mount.mkdir()
    with counting_server(mount) as server:
        began = time.perf_counter()
        lister = subprocess.Popen(["lsmem", "--sysroot", str(mount)], stdout=subprocess.DEVNULL)
        _, _, usage = os.wait4(lister.pid, 0)
        lister.returncode = 0
        wall = time.perf_counter() - began
    assert server.stdout is not None
    counted = json.loads(server.stdout.read())
    server.stdout.close()
    own = usage.ru_utime + usage.ru_stime
    print(f"one lsmem in {wall:.2f} s, processor time by who spends it:")
    print(f"  lsmem and the kernel for it   {own:6.2f} s")
    print(f"  the server, whole             {counted['whole']:6.2f} s")
    for kind in KINDS:
        number, spent = counted["kinds"].get(kind, (0, 0.0))
        if number:
            each = spent / number * 1e6
            print(f"    {kind:<9} {number:>7} times {spent:6.2f} s, {each:5.1f} µs each")
    inside = sum(spent for _, spent in counted["kinds"].values())
    number = sum(number for number, _ in counted["kinds"].values())
    rest = (counted["whole"] - inside) / number * 1e6
    print(f"    the rest: mfusepy, libfuse, the kernel {rest:5.1f} µs for each of {number}")


@contextmanager
def counting_server(mount: Path) -> Iterator["subprocess.Popen[str]"]:
    server = subprocess.Popen(
        [sys.executable, __file__, "--count", MACHINE, str(mount)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdout.readline()
    yield server
    server.stdin.close()
    server.wait()


def count(address: str, folder: Path) -> None:
    """Serve until standard input ends, then tell what was asked for."""
    numbers: Counter[str] = Counter()
    spent: Counter[str] = Counter()

    def counted(kind: str, answer: Callable[..., Any]) -> Callable[..., Any]:
        def asked(*args: Any) -> Any:
            began = time.thread_time_ns()
            try:
                found = answer(*args)
                return list(found) if kind == "readdir" else found
            finally:
                numbers[kind] += 1
                spent[kind] += time.thread_time_ns() - began

        return asked

    for kind in KINDS:
        setattr(FuseOperations, kind, counted(kind, getattr(FuseOperations, kind)))
    idle = 0.0

    def ready(_nonce: str) -> None:
        nonlocal idle
        idle = time.process_time()
        print("ready", flush=True)

    def until() -> None:
        sys.stdin.read()

    order = serving.Order(address=address, folder=folder, uevents=None)
    serving.serve(order, ready, until)
    kinds = {kind: (number, spent[kind] / 1e9) for kind, number in numbers.items()}
    print(json.dumps({"whole": time.process_time() - idle, "kinds": kinds}))


def main() -> None:
    if sys.argv[1:2] == ["--count"]:
        count(sys.argv[2], Path(sys.argv[3]))
        return
    if shutil.which("lsmem") is None:
        print("lsmem is missing: install package util-linux")
        return
    with tempfile.TemporaryDirectory() as folder:
        try:
            writes(Path(folder))
        except MemhpError as error:
            print(f"nothing can be mounted here: {error}")
            return
        listing(Path(folder))
        where_it_goes(Path(folder))


if __name__ == "__main__":
    main()
