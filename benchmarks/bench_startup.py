"""What it costs to start: ``memhp ls`` of this host beside a Python that does nothing.

Run it with ``make bench``, or by itself: ``python benchmarks/bench_startup.py``.
"""

import sys
from pathlib import Path
from statistics import median

from side_by_side import in_turns, shown

ROUNDS = 40


def main() -> None:
    memhp = str(Path(sys.executable).parent / "memhp")
    ours, theirs, _ = in_turns([memhp, "ls"], [sys.executable, "-c", "pass"], ROUNDS)
    print(f"{ROUNDS} rounds in turns")
    print(f"  memhp ls         {shown(ours)}")
    print(f"  python -c pass   {shown(theirs)}")
    print(f"  ratio of medians {median(ours) / median(theirs):.2f}")


if __name__ == "__main__":
    main()
