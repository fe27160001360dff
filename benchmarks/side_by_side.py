"""Two commands timed in turns, so that what else the machine does hits both alike."""

import subprocess
import time
from collections.abc import Sequence
from statistics import median


def timed(command: Sequence[str]) -> tuple[float, bytes]:
    """Run a command; returns seconds and what it printed."""
    began = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return time.perf_counter() - began, done.stdout


def in_turns(
    ours: Sequence[str], theirs: Sequence[str], rounds: int
) -> tuple[list[float], list[float], bool]:
    """Run both in turns; returns the seconds of each and whether they printed the same."""
    first, second, same = [], [], True
    for _ in range(rounds):
        one, our_output = timed(ours)
        two, their_output = timed(theirs)
        first.append(one)
        second.append(two)
        same = same and our_output == their_output
    return first, second, same


def shown(seconds: Sequence[float]) -> str:
    """The least and the median, in milliseconds."""
    return f"min {min(seconds) * 1000:7.1f} ms, median {median(seconds) * 1000:7.1f} ms"
