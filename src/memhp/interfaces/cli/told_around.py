"""What is told of machines before and after a change: their limits, and what they would forget."""

import sys
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager

from memhp.core.errors import MachineError
from memhp.core.machine import Cautious, Holding, Machine, Restartable


@contextmanager
def held(machines: Collection[Machine]) -> Iterator[None]:
    """Keep the ways to machines open for as long as a command lasts, where that is quicker."""
    with ExitStack() as stack:
        for machine in machines:
            if isinstance(machine, Holding):
                stack.enter_context(machine.hold())
        yield


def tell_cautions(machines: Collection[Machine]) -> None:
    """Name what cannot be known or done."""
    several = len(machines) > 1
    for machine in machines:
        if isinstance(machine, Cautious):
            for sentence in machine.cautions():
                _say(f"note: {f'{machine.name}: ' if several else ''}{sentence}")


@contextmanager
def told_around(machines: Collection[Machine]) -> Iterator[None]:
    """Name what cannot be known or done beforehand, and afterwards what keeps new devices."""
    tell_cautions(machines)
    before = {machine.name: _arguments(machine) for machine in machines}
    yield
    for machine in machines:
        try:
            after = _arguments(machine)
        except MachineError:
            # What was done is told all the same.
            continue
        if after != before[machine.name]:
            _say(f"note: {machine.name} keeps its memory devices over a restart of QEMU with")
            for line in after:
                _say(f"  {line}")


def _arguments(machine: Machine) -> tuple[str, ...]:
    return machine.restart_arguments() if isinstance(machine, Restartable) else ()


def _say(line: str) -> None:
    print(line, file=sys.stderr)
