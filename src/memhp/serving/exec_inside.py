"""The first process of the namespaces: sets everything up, starts the command, and waits for it.

When it ends, for whatever reason, the kernel ends every process in there, and with
the last one the mounts are gone.
"""

import json
import os
import select
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from memhp.core.errors import MemhpError
from memhp.serving.check_stand_in import NotStandingIn, check_stand_in
from memhp.serving.kernel_calls import Capability, Namespaces, die_with_parent, drop, unshare
from memhp.serving.mount_over import (
    MACHINE,
    MountCalls,
    cover,
    cover_module_programs,
    leave_stage,
    prepare,
    put_in_place,
)
from memhp.serving.stand_in_paths import covered_paths, served_paths

DROPPED = (
    Capability.SYS_MODULE,
    Capability.SYS_BOOT,
    Capability.SYS_ADMIN,
    Capability.SYS_RAWIO,
)
"""Modules, the next boot, mounts (which could be lifted or made anew), and raw memory."""
NOT_FOUND, NOT_RUNNABLE = 127, 126
"""What a shell exits with where there is no such command, or one that cannot be run."""
_SIGNALS = 128
_DEFAULTED = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD)


class Serving(Protocol):
    """A model that is mounted."""

    @property
    def nonce(self) -> str:
        """What every folder of it says when asked."""

    def close(self) -> None:
        """Unmount it and end its server."""


Start = Callable[[str, Path, Path | None], Serving]
"""Mounts the machine of an address on a folder; raises ``MemhpError``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One command that is to run on a model, and how the model gets there."""

    address: str
    command: Sequence[str]
    start: Start
    uevents: Path | None = None
    folder: str
    calls: MountCalls = field(default_factory=MountCalls)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How the command ended; ``problem`` says why it could not be started."""

    code: int
    problem: str = ""


def set_up_and_run(job: Job, lifeline: int, tell: int) -> None:
    """Do everything, and write one line of JSON about it to ``tell``.

    ``lifeline`` gives a byte for each signal that is meant for the command, and
    ends with the process that asked for all this.
    """
    die_with_parent(signal.SIGKILL)
    try:
        serving = _stand_in(job)
    except NotStandingIn as problem:
        _tell(tell, {"problem": str(problem)})
        return
    except MemhpError as error:
        _tell(tell, {"sentence": str(error), "exit_code": error.exit_code})
        return
    except Exception as err:
        # Whatever it is, nothing may be started.
        _tell(tell, {"problem": f"cannot be put in place ({err})"})
        return
    ended = _run(job, lifeline)
    with suppress(Exception):
        serving.close()
    _tell(tell, {"code": ended.code, "problem": ended.problem})


def _stand_in(job: Job) -> Serving:
    """Mount the model over the host's files and look that it is there.

    The server is left behind in a namespace without that: it would wait for
    itself where it reads a file that it serves (the C library reads the list of
    processors whenever a thread first allocates).
    """
    left = prepare(job.calls)
    serving = job.start(job.address, Path(MACHINE), job.uevents)
    unshare(Namespaces.MOUNT)
    served = served_paths(MACHINE)
    covered = covered_paths(served)
    put_in_place(served, job.calls)
    cover(covered, job.calls)
    cover_module_programs(job.calls)
    leave_stage(job.calls)
    check_stand_in(served, covered, left, serving.nonce)
    return serving


def _run(job: Job, lifeline: int) -> Ended:
    """Start the command and wait for it; pass signals on, and take in what is left of others."""
    wake, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    failed, failing = os.pipe()
    pid = os.fork()
    if pid == 0:
        _become(job, failing)
    os.close(failing)
    problem = os.read(failed, 4)
    ends = select.poll()
    ends.register(lifeline, select.POLLIN)
    ends.register(wake, select.POLLIN)
    while (status := _ended(pid)) is None:
        for ready, _ in ends.poll():
            words = os.read(ready, 1)
            if ready == lifeline and not words:
                return Ended(code=_SIGNALS + signal.SIGKILL)
            if ready == lifeline:
                os.kill(pid, words[0])
    if problem:
        return _not_started(int.from_bytes(problem, "big"))
    code = os.waitstatus_to_exitcode(status)
    return Ended(code=code if code >= 0 else _SIGNALS - code)


def _ended(command: int) -> int | None:
    """Take in every process that has ended; the command's status if it is among them."""
    found = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if pid == 0:
            return found
        if pid == command:
            found = status


def _not_started(code: int) -> Ended:
    is_missing = code in {2, 20}  # ENOENT, ENOTDIR
    return Ended(code=NOT_FOUND if is_missing else NOT_RUNNABLE, problem=os.strerror(code))


def _become(job: Job, failing: int) -> None:
    """The child: gives up what could reach the host, and becomes the command."""
    code = 0
    try:
        # The folder that was entered before may lie below what stands there now.
        os.chdir(job.folder)
        drop(DROPPED)
        # udev takes no device that does not lie on sysfs itself, unless it is told to.
        os.environ.setdefault("SYSTEMD_DEVICE_VERIFY_SYSFS", "0")
        for number in _DEFAULTED:
            signal.signal(number, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.execvp(job.command[0], list(job.command))  # noqa: S606 - that is what it is for
    except OSError as err:
        code = err.errno or 1
    finally:
        os.write(failing, code.to_bytes(4, "big"))
        # A forked child has to end here and nowhere else.
        os._exit(NOT_RUNNABLE)


def _tell(pipe: int, words: dict[str, object]) -> None:
    os.write(pipe, json.dumps(words).encode())
