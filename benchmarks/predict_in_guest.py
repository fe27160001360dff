"""Predict, try, and compare, block by block, inside a guest: ``WORKLOAD SEED SECONDS ZONES``.

Prints an object of JSON a block: what was predicted, what happened, why. Each
block that went comes back into the zone that it was in.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from memhp.core.outcome import Done, Outcome, Refused
from memhp.core.plan import OfflineBlock, OnlineBlock, Step
from memhp.core.snapshot import MemoryBlock
from memhp.core.words import BlockState, OnlineType, ZoneType
from memhp.machines.linux.machine import LinuxMachine, open_linux
from memhp.operations.predict_offline import predict

_MARK = "memhp.predict=1"


def started(name: str, seed: int) -> subprocess.Popen[str]:
    """Start a workload and wait until it holds what it holds."""
    program = str(Path(__file__).with_name("predict_load.py"))
    load = subprocess.Popen(
        [sys.executable, program, name, str(seed)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    if load.stdout is None or not load.stdout.readline().startswith("ready"):
        raise SystemExit(f"workload {name} does not start")
    return load


def tried(machine: LinuxMachine, block: MemoryBlock, seconds: float) -> tuple[Outcome, float]:
    """Try to take a block offline, and bring it back."""
    began = time.monotonic()
    step = Step(machine=machine.name, action=OfflineBlock(block=block.block))
    outcome = machine.apply(step, until=began + seconds, tell=lambda _: None)
    took = time.monotonic() - began
    if isinstance(outcome, Done):
        movable = block.zone is ZoneType.MOVABLE
        word = OnlineType.ONLINE_MOVABLE if movable else OnlineType.ONLINE_KERNEL
        back = Step(machine=machine.name, action=OnlineBlock(block=block.block, online_type=word))
        machine.apply(back, until=None, tell=lambda _: None)
    return outcome, took


def measure(machine: LinuxMachine, block: MemoryBlock, seconds: float) -> dict[str, object]:
    """Predict for one block, try it, and tell of both."""
    began = time.monotonic()
    evidence = machine.evidence([block.block])
    prediction = predict(evidence.blocks[0], evidence)
    looked = time.monotonic() - began
    outcome, took = tried(machine, block, seconds)
    return {
        "block": block.block,
        "zone": block.zone,
        "answer": prediction.answer,
        "went": isinstance(outcome, Done),
        "why": [o.what for o in prediction.obstacles][:2],
        "reason": outcome.reason if isinstance(outcome, Refused) else "",
        "kinds": {k.name: n for k, n in evidence.blocks[0].kinds.items()},
        "to_move": prediction.pages_to_move,
        "looked_s": round(looked, 3),
        "took_s": round(took, 3),
    }


def main() -> None:
    """Go through the blocks once, in an order of chance."""
    name, seed, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    if _MARK not in Path("/proc/cmdline").read_text():
        raise SystemExit("this takes memory offline: it runs in a guest that is made for it")
    load = started(name, seed)
    machine = open_linux("")
    blocks = [
        block
        for block in machine.snapshot().blocks
        if block.state is BlockState.ONLINE and block.zone is not None
    ]
    random.Random(seed).shuffle(blocks)
    try:
        for block in blocks:
            print(json.dumps(measure(machine, block, seconds)), flush=True)
    finally:
        os.killpg(load.pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
