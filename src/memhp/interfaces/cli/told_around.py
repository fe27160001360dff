"""What is told of a machine before and after a change: its limits, and what it would forget."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from memhp.core.machine import Cautious, Machine, Restartable


@contextmanager
def told_around(machine: Machine) -> Iterator[None]:
    """Name what cannot be known or done beforehand, and afterwards what keeps new devices."""
    if isinstance(machine, Cautious):
        for sentence in machine.cautions():
            print(f"note: {sentence}", file=sys.stderr)
    before = _arguments(machine)
    yield
    after = _arguments(machine)
    if after != before:
        print("note: QEMU keeps these devices over a restart with", file=sys.stderr)
        for line in after:
            print(f"  {line}", file=sys.stderr)


def _arguments(machine: Machine) -> tuple[str, ...]:
    return machine.restart_arguments() if isinstance(machine, Restartable) else ()
