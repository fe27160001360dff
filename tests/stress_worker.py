"""One writer or reader of the stress test: ``stress_worker.py FOLDER SECONDS write|read SEED``.

Prints how often it came round; whatever it reads that is torn ends it.
"""

import contextlib
import re
import sys
import time
from pathlib import Path
from random import Random

MEMORY = "sys/devices/system/memory"
PARAMETERS = "sys/module/memory_hotplug/parameters"
STATES = {"online\n", "offline\n", "going-offline\n"}
ZONES = re.compile(r"none\n|(DMA|DMA32|Normal|Movable)( (DMA|DMA32|Normal|Movable))?\n")
PAGES_PER_BLOCK = 1 << 15


def write_on(folder: Path, seed: int, until: float) -> int:
    """Blocks offline and online in every way, and the policies; what is refused is refused."""
    random = Random(seed)
    blocks = sorted((folder / MEMORY).glob("memory[0-9]*"))
    done = 0
    while time.monotonic() < until:
        path, word = random.choice(
            [
                *((block / "state", "offline") for block in random.sample(blocks, 4)),
                *((block / "state", "online_movable") for block in random.sample(blocks, 2)),
                *((block / "online", "1") for block in random.sample(blocks, 2)),
                (folder / PARAMETERS / "online_policy", "auto-movable"),
                (folder / PARAMETERS / "online_policy", "contig-zones"),
                (folder / PARAMETERS / "auto_movable_ratio", str(random.randrange(1000))),
            ]
        )
        with contextlib.suppress(OSError):
            path.write_text(word)
            done += 1
    return done


def read_on(folder: Path, seed: int, until: float) -> int:
    """Whatever is read is a whole word, and zones hold whole blocks besides what they had."""
    random = Random(seed)
    blocks = sorted((folder / MEMORY).glob("memory[0-9]*"))
    rest = _present(folder) % PAGES_PER_BLOCK
    done = 0
    while time.monotonic() < until:
        block = random.choice(blocks)
        assert (block / "state").read_text() in STATES
        zones = (block / "valid_zones").read_text()
        assert ZONES.fullmatch(zones), zones
        assert _present(folder) % PAGES_PER_BLOCK == rest
        done += 1
    return done


def _present(folder: Path) -> int:
    """All present pages; spans are never smaller, and the file is whole."""
    text = (folder / "proc/zoneinfo").read_text()
    rows = [
        (int(spanned), int(present))
        for spanned, present in re.findall(r"spanned  (\d+)\n +present  (\d+)\n", text)
    ]
    assert len(rows) == text.count("Node ")
    assert all(present <= spanned for spanned, present in rows)
    return sum(present for _, present in rows)


if __name__ == "__main__":
    work = {"write": write_on, "read": read_on}[sys.argv[3]]
    print(work(Path(sys.argv[1]), int(sys.argv[4]), time.monotonic() + float(sys.argv[2])))
