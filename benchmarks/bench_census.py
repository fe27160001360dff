"""``memhp census`` of this machine beside the kernel's ``page-types``, and beside merely reading.

All three in turns, whole commands. ``page-types`` is built from Debian's
``linux-source`` package, fetched with apt-get; give one that is built already
as the first argument. Only reads. Run as root: ``python benchmarks/bench_census.py``.
"""

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

ROUNDS = 25
PACKAGE = "linux-source-6.12"
PARTS = ("tools/mm", "tools/lib", "tools/include", "tools/arch", "tools/build", "tools/scripts")
WANTED = 0.85
MERELY_READING = """
import os
buffer = bytearray(1 << 20)
flags = os.open("/proc/kpageflags", os.O_RDONLY)
while os.readv(flags, [buffer]):
    pass
"""


def built_page_types(folder: Path) -> Path | str:
    """Build ``page-types``; or says why it cannot be."""
    needed = ("apt-get", "dpkg-deb", "tar", "xz", "make", "gcc")
    missing = [name for name in needed if shutil.which(name) is None]
    if missing:
        return f"{', '.join(missing)} is missing"
    try:
        run(["apt-get", "-qq", "download", PACKAGE], folder)
        run(["dpkg-deb", "-x", str(next(folder.glob("*.deb"))), "unpacked"], folder)
        archive = next((folder / "unpacked").rglob("linux-source-*.tar.xz"))
        top = f"{PACKAGE}/"
        headers = ["include/uapi/linux/kernel-page-flags.h", "include/uapi/linux/magic.h"]
        run(["tar", "xf", str(archive), *[top + part for part in (*PARTS, *headers)]], folder)
        run(["make", "page-types"], folder / PACKAGE / "tools/mm")
    except subprocess.CalledProcessError as err:
        last = (err.stderr.strip().splitlines() or ["no reason given"])[-1]
        return f"'{' '.join(err.cmd[:3])}' failed ({last})"
    except StopIteration:
        return f"package {PACKAGE} holds no source"
    return folder / PACKAGE / "tools/mm/page-types"


def run(command: Sequence[str], folder: Path) -> None:
    """Run one step of the build."""
    subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)


def measured(command: Sequence[str]) -> tuple[float, float, int]:
    """Run a command; gives seconds, seconds of processor time, and its peak memory in KiB.

    The kernel counts what this program has at the fork as the least of that peak.
    """
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    took = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise subprocess.CalledProcessError(process.returncode, command)
    return took, usage.ru_utime + usage.ru_stime, usage.ru_maxrss


def compare(commands: dict[str, Sequence[str]]) -> None:
    """Measure all in turns and print medians."""
    found: dict[str, list[tuple[float, float, int]]] = {name: [] for name in commands}
    for _ in range(ROUNDS):
        for name, command in commands.items():
            found[name].append(measured(command))
    print(f"{os.sysconf('SC_PHYS_PAGES') >> 18} GiB, {ROUNDS} rounds in turns,", end=" ")
    print(f"{len(os.sched_getaffinity(0))} processors, load {os.getloadavg()[0]:.1f}")
    for name, runs in found.items():
        took, busy, peak = (list(column) for column in zip(*runs, strict=True))
        print(
            f"{name:<15} min {min(took) * 1000:6.0f} ms, median {median(took) * 1000:6.0f} ms, "
            f"processor {median(busy) * 1000:6.0f} ms, peak {max(peak) / 1024:5.1f} MiB"
        )
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"a peak near {own:.1f} MiB may be this program's own")
    if "page-types" in found:
        ratios = [
            ours[0] / theirs[0]
            for ours, theirs in zip(found["memhp census"], found["page-types"], strict=True)
        ]
        print(
            f"memhp census / page-types: median of the rounds {median(ratios):.2f}, wanted {WANTED}"
        )


def main() -> None:
    if not os.access("/proc/kpageflags", os.R_OK):
        print("/proc/kpageflags cannot be read: run it as root, on a kernel that has it")
        return
    os.environ["MEMHP_NO_LIVE_WRITES"] = "1"
    memhp = str(Path(sys.executable).parent / "memhp")
    commands: dict[str, Sequence[str]] = {
        "memhp census": [memhp, "census", "-M", "linux:"],
        "reading alone": [sys.executable, "-S", "-c", MERELY_READING],
    }
    with tempfile.TemporaryDirectory() as folder:
        given = Path(sys.argv[1]) if len(sys.argv) > 1 else built_page_types(Path(folder))
        if isinstance(given, Path):
            commands["page-types"] = [str(given)]
        else:
            print(f"without page-types, for {given}")
        compare(commands)


if __name__ == "__main__":
    main()
