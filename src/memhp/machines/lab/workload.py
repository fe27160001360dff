"""A process in a guest whose memory is checksummed, so that it shows whether any of it was lost."""

import re
import time
from dataclasses import dataclass
from pathlib import Path

from memhp.core.errors import ContactLost
from memhp.core.geometry import MIB
from memhp.machines.lab.carried import Carried
from memhp.machines.lab.compile_c import carry_compiled
from memhp.machines.lab.guest import Guest

_PROGRAMS = Path(__file__).parent / "programs"
_SOURCE = _PROGRAMS / "workload.c"
LEND_PAGES = _PROGRAMS / "lend_pages.py"
"""Lends pages to a pipe, so that they never move; for guests that share their host's root."""
_PLACE = "/bin/workload"
_LINE = re.compile(r"checked (\d+) rewritten (\d+) bad (\d+)")
_SECONDS = 180.0
_NOTHING = Carried()


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What a workload found: pages verified, pages rewritten so far, pages that were not right."""

    pages: int
    rewritten: int
    bad: int


class Workload:
    """A running workload of a guest."""

    def __init__(self, guest: Guest, pid: int, report: str) -> None:
        self._guest = guest
        self._pid = pid
        self._report = report
        self._lines = 1

    def check(self) -> Checked:
        """Let it verify all of its memory; raises ``ContactLost`` where it is gone."""
        with self._guest.shell() as shell:
            shell.run(f"kill -USR1 {self._pid}")
        self._lines += 1
        return _wait_for_line(self._guest, self._pid, self._report, self._lines)

    def freeze(self, *, still: bool) -> None:
        """Let it stand still, or go on; its memory stays where it is either way."""
        with self._guest.shell() as shell:
            shell.run(f"kill -{'STOP' if still else 'CONT'} {self._pid}")

    def stop(self) -> None:
        """End it; its memory is free again."""
        with self._guest.shell() as shell:
            shell.run(f"kill {self._pid}; while [ -d /proc/{self._pid} ]; do sleep 0.05; done")


def carry_workload(carried: Carried = _NOTHING) -> Carried:
    """Compile the program for guests to carry; raises ``MachineError`` without a compiler."""
    return carry_compiled(_SOURCE, _PLACE, carried)


def start_workload(guest: Guest, size_bytes: int, seed: int, node: int) -> Workload:
    """Start one in a guest that carries it, and wait until its memory is filled."""
    report = f"/tmp/workload-{seed}"  # noqa: S108 - in the guest, which is alone
    with guest.shell() as shell:
        command = f"{_PLACE} {size_bytes // MIB} {seed} {node} {report}"
        _, text = shell.run(f"{command} > /dev/null 2>&1 & echo $!")
    pid = int(text.split()[-1])
    _wait_for_line(guest, pid, report, 1)
    return Workload(guest, pid, report)


def _wait_for_line(guest: Guest, pid: int, report: str, number: int) -> Checked:
    """The report's line of that number, once it is there."""
    end = time.monotonic() + _SECONDS
    command = f"cat {report} 2>/dev/null; [ -d /proc/{pid} ] && echo alive"
    while time.monotonic() < end:
        with guest.shell() as shell:
            _, text = shell.run(command)
        lines = _LINE.findall(text)
        if len(lines) >= number:
            pages, rewritten, bad = map(int, lines[number - 1])
            return Checked(pages=pages, rewritten=rewritten, bad=bad)
        if "alive" not in text:
            break
        time.sleep(0.1)
    raise ContactLost(machine=f"lab:{guest.name}", problem="has lost its workload, or never had it")
