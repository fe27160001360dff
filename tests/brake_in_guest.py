"""Takes blocks offline in a guest that is under pressure already: ``HOG FIRST SECOND``.

The first while the pressure stays; the second, whose process ``HOG`` is ended once
it was told three times that all is paused. Prints a list of JSON: for each what
came of it, and whether a pause was told.
"""

import json
import os
import signal
import sys
import time
from dataclasses import asdict

from memhp.core.events import StepProgress
from memhp.core.geometry import BlockId
from memhp.core.limits import Limits
from memhp.core.plan import OfflineBlock, Step
from memhp.machines.linux.lister import open_root
from memhp.machines.linux.machine import open_linux
from memhp.machines.linux.pressure import read_pressure

PERCENT = 30.0
ENOUGH = 3


def wait_for_pressure() -> None:
    """Wait until there is more than enough: while this program starts, it falls."""
    while (read_pressure(open_root("")) or 0.0) < PERCENT + 2:
        time.sleep(0.2)


def attempt(block: int, limits: Limits, hog: int | None) -> dict[str, object]:
    """Take a block offline; ``hog`` is ended after some pauses."""
    machine = open_linux("").bounded(limits)
    told: list[str] = []

    def tell(progress: StepProgress) -> None:
        told.append(progress.unit)
        if hog is not None and len(told) == ENOUGH:
            os.kill(hog, signal.SIGKILL)

    step = Step(machine=machine.name, action=OfflineBlock(block=BlockId(block)))
    outcome = machine.apply(step, until=None, tell=tell)
    paused = [unit for unit in told if unit.startswith("paused, for memory pressure is ")]
    return {"outcome": type(outcome).__name__, "paused": len(paused), **asdict(outcome)}


def main() -> None:
    """Try both, and print what came of them."""
    hog, first, second = map(int, sys.argv[1:])
    stays = Limits(pressure_percent=PERCENT, pause_seconds=1)
    falls = Limits(pressure_percent=PERCENT)
    wait_for_pressure()
    print(json.dumps([attempt(first, stays, None), attempt(second, falls, hog)]))


if __name__ == "__main__":
    main()
