"""memhp at work inside a guest, on the guest's own memory, and what goes wrong meanwhile.

The guest shares its host's root, has less than 3 GiB, and one DIMM of four blocks.
"""

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from memhp.machines.lab.guest import Guest
from memhp.machines.lab.initrd import HOST
from memhp.machines.lab.workload import LEND_PAGES

DIMM: Final = "PNP0C80:00"
BLOCKS: Final = (32, 33, 34, 35)
"""Those of the DIMM, which QEMU puts at 4 GiB."""
MEMORY: Final = "/sys/devices/system/memory"
_MEMHP: Final = Path(sys.executable).parent / "memhp"
_INJECTED: Final = "/sys/kernel/debug/notifier-error-inject/memory/actions"
_SECONDS: Final = 120.0
_STATES: Final = " ".join(f"{MEMORY}/memory{n}/state" for n in BLOCKS)
_SAID: Final = "/tmp/said"  # noqa: S108 - in the guest, which is alone
_PINNING: Final = "/tmp/pin.pid"  # noqa: S108
_POLLS: Final = 3000
"""After so many looks, 10 ms apart at the least, nothing is waited for any longer."""


@dataclass(frozen=True, slots=True)
class Inside:
    """A guest with a DIMM, and memhp in it. ``state`` is its folder of journals, as it sees it."""

    guest: Guest
    state: str = "/tmp/state"  # noqa: S108

    def run(self, command: str, seconds: float = _SECONDS) -> tuple[int, str]:
        """Run a line of shell in the guest; returns its exit code, and all that it said."""
        with self.guest.shell() as shell:
            return shell.run(command, seconds)

    def memhp(self, words: str, state: str | None = None) -> tuple[int, str]:
        """Run memhp there; returns its exit code and what it said, without what it drew."""
        # With its output in a file it draws no live line.
        code, _ = self.run(f"{self.command(words, state)} < /dev/null > {_SAID} 2>&1")
        return code, self.run(f"cat {_SAID}")[1]

    def command(self, words: str, state: str | None = None, *, under: str = "") -> str:
        """The line of shell that runs memhp there, perhaps ``under`` another program."""
        folder = shlex.quote(f"MEMHP_STATE_DIR={state or self.state}")
        bare = f"env -u MEMHP_NO_LIVE_WRITES {folder}"
        return f"host {bare} {under} {shlex.quote(str(_MEMHP))} {words} -M linux:"

    def journal(self, state: str | None = None) -> str:
        """The path of the first journal, as the guest's shell sees it."""
        return f"{HOST}{state or self.state}/1.journal"

    def forget(self) -> None:
        """Take all journals away."""
        self.run(f"rm -rf {HOST}{self.state}")

    def blocks(self) -> dict[int, tuple[str, str]]:
        """State and zones of each of the DIMM's blocks."""
        paths = " ".join(f"{MEMORY}/memory{n}/state {MEMORY}/memory{n}/valid_zones" for n in BLOCKS)
        words = [line for line in self.run(f"cat {paths}")[1].splitlines() if line]
        return dict(zip(BLOCKS, zip(words[::2], words[1::2], strict=True), strict=True))

    def all_are(self, state: str, zones: str) -> bool:
        """Whether every block of the DIMM stands so."""
        return set(self.blocks().values()) == {(state, zones)}

    def bring(self) -> None:
        """Have every block of the DIMM online and movable, by hand."""
        self.run(
            f"for n in {' '.join(map(str, BLOCKS))}; do "
            f"f={MEMORY}/memory$n; [ $(cat $f/valid_zones) = Movable ] || "
            "{ echo offline > $f/state; echo online_movable > $f/state; }; done 2>/dev/null"
        )

    def take(self) -> None:
        """Have every block of the DIMM offline, by hand."""
        self.run(
            f"for f in {_STATES}; do [ $(cat $f) = offline ] || echo offline > $f; done 2>/dev/null"
        )

    def kill_after(self, words: str, lines: int, pause: float = 0) -> int:
        """Kill memhp so many seconds after its first journal has so many lines.

        Returns how many it has in the end. Journals that there were are gone.
        """
        self.forget()
        _, text = self.run(
            f"{self._started(words)}; {_until(self._has(lines))}; usleep {int(pause * 1e6)}; "
            f"kill -9 $p; wait $p; cat {self.journal()} | wc -l"
        )
        return int(text.split()[-1])

    def kill_in_write(self, words: str, looks: int = 1) -> bool:
        """Kill memhp when a block was seen going offline so often; tells whether one still was."""
        busy = f"grep -q going-offline {_STATES}"
        seen = f"{busy} && s=$((s + 1)) && [ $s -ge {looks} ]"
        code, _ = self.run(
            f"s=0; {self._started(words)}; {_until(seen)}; "
            f"{busy}; c=$?; kill -9 $p; wait $p; [ $c = 0 ]"
        )
        return code == 0

    def _has(self, lines: int) -> str:
        return f"[ $(cat {self.journal()} 2>/dev/null | wc -l) -ge {lines} ]"

    def _started(self, words: str) -> str:
        return f"{self.command(words)} < /dev/null > {_SAID} 2>&1 & p=$!"

    @contextmanager
    def injected(self, *actions: str, error: int = 12, at_line: int = 0) -> Iterator[None]:
        """A driver that vetoes transitions, perhaps once the first journal has so many lines."""
        files = [f"{_INJECTED}/{action}/error" for action in actions]
        veto = "; ".join(f"echo {-error} > {file}" for file in files)
        later = f"({{ p=1; {_until(self._has(at_line))}; {veto}; }} & echo $! > /tmp/veto)"
        self.run(later if at_line else veto)
        try:
            yield
        finally:
            over = "; ".join(f"echo 0 > {file}" for file in files)
            waiting = "kill -9 $(cat /tmp/veto) 2>/dev/null; rm -f /tmp/veto; "
            self.run((waiting if at_line else "") + over)

    @contextmanager
    def rival(self, word: str = "online_kernel", at_line: int = 0) -> Iterator[None]:
        """A program that brings every block of the DIMM online, as soon as it is offline.

        It begins once the first journal has so many lines.
        """
        self.run(
            f"(p=1; {_until(self._has(at_line)) if at_line else ':'}; "
            f"while :; do for f in {_STATES}; do "
            f"[ $(cat $f) = offline ] && echo {word} > $f; done; usleep 10000; done) "
            "2>/dev/null & echo $! > /tmp/rival"
        )
        try:
            yield
        finally:
            self.run("kill -9 $(cat /tmp/rival); wait $(cat /tmp/rival)")

    @contextmanager
    def small_disk(self, pages: int) -> Iterator[str]:
        """A folder for journals with room for so many pages; to grow it see ``enlarge``."""
        folder = "/tmp/full"  # noqa: S108
        size = f"size={4 * pages}k"
        self.run(f"mkdir -p {HOST}{folder}; mount -t tmpfs -o {size} full {HOST}{folder}")
        try:
            yield folder
        finally:
            self.run(f"umount {HOST}{folder}")

    def enlarge(self, folder: str) -> None:
        """Give a small disk room enough."""
        self.run(f"mount -o remount,size=1m {HOST}{folder}")


@contextmanager
def pinned(guest: Guest) -> Iterator[None]:
    """A process with pages in movable memory that never move, until the end."""
    here, told = Inside(guest), "/tmp/pinned"  # noqa: S108
    program = f"{shlex.quote(sys.executable)} {shlex.quote(str(LEND_PAGES))}"
    here.run(
        f"rm -f {HOST}{told}; host {program} {told} & echo $! > {_PINNING}; "
        f"while [ ! -e {HOST}{told} ]; do sleep 0.1; done"
    )
    try:
        yield
    finally:
        unpin(guest)


def unpin(guest: Guest) -> None:
    """End that process and wait for it."""
    pid = f"$(cat {_PINNING})"
    Inside(guest).run(f"kill -9 {pid} 2>/dev/null; wait {pid} 2>/dev/null")


def _until(condition: str) -> str:
    """Shell that waits for a condition, or for process ``$p`` to end, and not for ever."""
    return (
        f"n=0; while [ $n -lt {_POLLS} ] && ! grep -q ') Z' /proc/$p/stat && ! {{ {condition}; }}; "
        "do n=$((n + 1)); usleep 10000; done"
    )
