"""A process that only wants to run, inside a guest: ``FILE FIRST LAST``, until SIGTERM.

Every hundredth of a second it touches memory of its own, takes a MiB and gives it
back, and reads the state of each block from FIRST to LAST. FILE then has an object of
JSON: each change of a state with its time, and the longest rounds with the time of their end.
"""

import heapq
import json
import mmap
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TextIO

_PAUSE = 0.01
_KEPT = 16 << 20
_FRESH = 1 << 20
_STEP = 16 * mmap.PAGESIZE
_MOST = 5


def main(told: Path, first: int, last: int) -> None:
    """Run until asked to end; a round's work counts with the pause that follows it."""
    signal.signal(signal.SIGTERM, _end)
    changes: list[tuple[float, int, str]] = []
    stalls: list[tuple[float, float]] = []
    try:
        for took, ended, states in _rounds(first, last):
            stalls = heapq.nlargest(_MOST, [*stalls, (took, ended)])
            changes += states
    except KeyboardInterrupt:
        told.write_text(json.dumps({"changes": changes, "stalls": stalls}))


def _rounds(first: int, last: int) -> Iterator[tuple[float, float, list[tuple[float, int, str]]]]:
    """How long each round took, when it ended, and the states that changed in it."""
    files = {
        number: path.open()
        for number in range(first, last + 1)
        if (path := Path(f"/sys/devices/system/memory/memory{number}/state")).exists()
    }
    kept = bytearray(_KEPT)
    seen = _states(files)
    print("ready", flush=True)
    began = time.monotonic()
    while True:
        for place in range(0, len(kept), _STEP):
            kept[place] = 1
        with mmap.mmap(-1, _FRESH) as fresh:
            for place in range(0, _FRESH, mmap.PAGESIZE):
                fresh[place] = 1
        now = _states(files)
        here = time.monotonic()
        changed = [(here, number, state) for number, state in now.items() if state != seen[number]]
        yield here - began, here, changed
        seen, began = now, here
        time.sleep(_PAUSE)


def _states(files: Mapping[int, TextIO]) -> dict[int, str]:
    for file in files.values():
        file.seek(0)
    return {number: file.read().strip() for number, file in files.items()}


def _end(*_signal: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
