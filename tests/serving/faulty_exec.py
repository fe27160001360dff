"""Runs a command on a model with something broken: ``faulty_exec.py FAULT NUMBER COMMAND...``.

A program of its own, for what it calls leaves its namespaces. It prints the
calls that change mounts, one a line, to descriptor 3 where that is open.
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from memhp.core.errors import MachineError, MemhpError
from memhp.serving import kernel_calls
from memhp.serving.exec_command import exec_command
from memhp.serving.exec_inside import Job, Serving
from memhp.serving.kernel_calls import MountFlags
from memhp.serving.mount_over import MountCalls
from memhp.serving.mounted import start_mounted

TOLD = 3


@dataclass
class Faulty:
    """The true calls, of which one fails, or does nothing and says that it went well."""

    failing: int
    is_silent: bool
    made: list[str] = field(default_factory=list)

    def calls(self) -> MountCalls:
        return MountCalls(
            mount=lambda source, target, kind, flags, options: self._call(
                f"mount {kind or int(flags)} {target}",
                lambda: kernel_calls.mount(source, target, kind, MountFlags(flags), options),
            ),
            bind=lambda source, target: self._call(
                f"bind {target}", lambda: kernel_calls.bind(source, target)
            ),
            set_read_only=lambda path: self._call(
                f"read-only {path}", lambda: kernel_calls.set_read_only(path)
            ),
            detach=lambda path: self._call(f"detach {path}", lambda: kernel_calls.detach(path)),
        )

    def _call(self, what: str, call: Callable[[], None]) -> None:
        self.made.append(what)
        if len(self.made) != self.failing:
            call()
        elif not self.is_silent:
            raise OSError(5, "it was made to fail", what)
        self._tell(what)

    @staticmethod
    def _tell(what: str) -> None:
        try:
            os.write(TOLD, f"{what}\n".encode())
        except OSError:
            return


@dataclass
class Fake:
    """What calls itself a mounted model."""

    nonce: str

    def close(self) -> None:
        return


def start(address: str, folder: Path, uevents: Path | None) -> Serving:
    return start_mounted(address, folder, uevents=uevents)


def does_not_start(_address: str, folder: Path, _uevents: Path | None) -> Serving:
    raise MachineError(machine=f"linux:{folder}", problem="cannot be mounted on")


def breaks(_address: str, _folder: Path, _uevents: Path | None) -> Serving:
    raise ZeroDivisionError("a fault")


def wrong_nonce(address: str, folder: Path, uevents: Path | None) -> Serving:
    mounted = start_mounted(address, folder, uevents=uevents)
    mounted.nonce = "0" * len(mounted.nonce)
    return mounted


def not_fuse(_address: str, folder: Path, _uevents: Path | None) -> Serving:
    """Plain files, with the right words in the hidden ones."""
    for path in ("sys/devices/system/memory", "sys/devices/system/node", "sys/kernel/debug"):
        (folder / path).mkdir(parents=True)
        note = {"nonce": "n", "pid": 1, "machine": "model:x", "identity": "x:1", "uevents": ""}
        (folder / path / ".memhp").write_text(json.dumps(note))
    return Fake("n")


def nothing_there(_address: str, _folder: Path, _uevents: Path | None) -> Serving:
    return Fake("n")


def killed(address: str, folder: Path, uevents: Path | None) -> Serving:
    mounted = start_mounted(address, folder, uevents=uevents)
    os.kill(mounted.pid, signal.SIGKILL)
    mounted.wait()
    return mounted


STARTS = {
    "none": start,
    "fails": start,
    "silent": start,
    "does-not-start": does_not_start,
    "breaks": breaks,
    "wrong-nonce": wrong_nonce,
    "not-fuse": not_fuse,
    "nothing-there": nothing_there,
    "killed": killed,
}


def main(fault: str, number: str, *command: str) -> int:
    faulty = Faulty(failing=int(number), is_silent=fault == "silent")
    job = Job(
        address="server",
        command=command,
        start=STARTS[fault],
        folder="/",
        calls=faulty.calls(),
    )
    try:
        return exec_command(job).code
    except MemhpError as error:
        print(f"memhp: {error}", file=sys.stderr)
        return int(error.exit_code)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
