"""``memhp ls`` beside ``lsmem`` on a tree of 131,072 blocks, in turns, with the output compared.

Run it with ``make bench``, or by itself: ``python benchmarks/bench_ls.py``.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path
from statistics import median

from side_by_side import in_turns, shown

BLOCKS = 131_072
NODES = 8
ROUNDS = 5
OPTIONS: tuple[list[str], ...] = (
    [],
    ["--json"],
    ["--all"],
    ["--all", "--json"],
    ["--output-all"],
    ["--summary"],
)


def build_tree(root: Path) -> None:
    """A tree as the kernel shows it: four files a block, links to nodes and back."""
    memory = root / "sys/devices/system/memory"
    nodes = root / "sys/devices/system/node"
    memory.mkdir(parents=True)
    (memory / "block_size_bytes").write_text("8000000\n")
    for node in range(NODES):
        (nodes / f"node{node}").mkdir(parents=True)
    for number in range(BLOCKS):
        node = number * NODES // BLOCKS
        folder = f"{memory}/memory{number}"
        os.mkdir(folder)
        zone = "Movable" if node else "Normal"
        for name, text in (("state", "online"), ("removable", "1"), ("valid_zones", zone)):
            handle = os.open(f"{folder}/{name}", os.O_WRONLY | os.O_CREAT)
            os.write(handle, f"{text}\n".encode())
            os.close(handle)
        os.symlink(f"../../node/node{node}", f"{folder}/node{node}")
        os.symlink(f"../../memory/memory{number}", f"{nodes}/node{node}/memory{number}")


def main() -> None:
    if shutil.which("lsmem") is None:
        print("lsmem is missing: install package util-linux")
        return
    shared = Path("/dev/shm")
    memhp = str(Path(sys.executable).parent / "memhp")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as folder:
        build_tree(Path(folder))
        print(f"{BLOCKS} blocks on {folder}, {ROUNDS} rounds in turns")
        for options in OPTIONS:
            ours, theirs, same = in_turns(
                [memhp, "ls", "--sysroot", folder, *options],
                ["lsmem", "--sysroot", folder, *options],
                ROUNDS,
            )
            print(f"{' '.join(options) or '(no option)'}: {'same' if same else 'OTHER'} output")
            print(f"  memhp ls  {shown(ours)}")
            print(f"  lsmem     {shown(theirs)}")
            print(f"  ratio of medians {median(ours) / median(theirs):.2f}")


if __name__ == "__main__":
    main()
