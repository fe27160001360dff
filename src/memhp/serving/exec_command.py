"""Run one command for which a mounted model stands in for the host's files.

It happens in a mount namespace and a process namespace of their own; this
process stays outside as far as it can: it passes signals on and waits.
"""

import json
import os
import signal
from pathlib import Path
from typing import Any

from memhp.core.errors import MachineError, MemhpError, NotSupported
from memhp.core.words import ExitCode
from memhp.serving.exec_inside import Ended, Job, set_up_and_run
from memhp.serving.kernel_calls import FileSystem, Namespaces, file_system_of, unshare

_PASSED_ON = frozenset(
    {
        signal.SIGHUP,
        signal.SIGINT,
        signal.SIGQUIT,
        signal.SIGTERM,
        signal.SIGUSR1,
        signal.SIGUSR2,
        signal.SIGALRM,
    }
)
_HOST_FILES = frozenset({FileSystem.SYSFS, FileSystem.DEBUGFS})
_MOST_BYTES = 1 << 16
_KILLED = "was lost, for the first process of its namespace was killed"


class NotServed(MemhpError):
    """What kept the machine from being mounted, in the words in which it was told."""

    def __init__(self, sentence: str, exit_code: ExitCode) -> None:
        super().__init__(sentence)
        self.exit_code = exit_code


def exec_command(job: Job) -> Ended:
    """Run the command of a job; returns how it ended.

    Call it in a process of its own, for it leaves its namespaces. Raises
    ``MachineError`` and ``NotSupported`` where the model does not stand in for
    everything that it has to: then nothing was started.
    """
    _refuse_open_host_files(job.address)
    _leave_namespaces(job.address)
    lifeline_end, lifeline = os.pipe()
    told, tell = os.pipe()
    waited_for = {*_PASSED_ON, signal.SIGCHLD}
    signal.pthread_sigmask(signal.SIG_BLOCK, waited_for)
    pid = os.fork()
    if pid == 0:
        _be_first(job, lifeline_end, lifeline, tell)
    os.close(tell)
    os.close(lifeline_end)
    _wait(pid, lifeline)
    return _result(job, os.read(told, _MOST_BYTES))


def _be_first(job: Job, lifeline_end: int, lifeline: int, tell: int) -> None:
    """The child: the first process of the new namespace, whatever happens to it."""
    try:
        os.close(lifeline)
        # To the kernel the first process of a namespace has no default but to ignore.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        set_up_and_run(job, lifeline_end, tell)
    finally:
        os._exit(0)


def _wait(pid: int, lifeline: int) -> None:
    """Wait for the first process; pass on what somebody sent.

    What a terminal sends goes to the command as well, without any help.
    """
    while True:
        found = signal.sigwaitinfo({*_PASSED_ON, signal.SIGCHLD})
        if found.si_signo == signal.SIGCHLD:
            if os.waitpid(pid, os.WNOHANG) != (0, 0):
                return
        elif found.si_code <= 0:
            try:
                os.write(lifeline, bytes([found.si_signo]))
            except BrokenPipeError:
                continue


def _result(job: Job, told: bytes) -> Ended:
    words: dict[str, Any] = json.loads(told) if told else {"problem": _KILLED}
    if "code" in words:
        return Ended(code=words["code"], problem=words["problem"])
    if "sentence" in words:
        raise NotServed(words["sentence"], ExitCode(words["exit_code"]))
    raise MachineError(machine=job.address, problem=words["problem"], advice="nothing was started")


def _leave_namespaces(address: str) -> None:
    """Enter new ones; where not root, as root of a user namespace. Raises ``NotSupported``."""
    wanted = Namespaces.MOUNT | Namespaces.PID
    user, group = os.geteuid(), os.getegid()
    try:
        if user == 0:
            unshare(wanted)
            return
        unshare(wanted | Namespaces.USER)
        Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1", encoding="ascii")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1", encoding="ascii")
    except OSError as err:
        raise NotSupported(
            machine=address,
            operation=f"stand in for this host's files here ({err.strerror})",
            advice="it takes root, or user namespaces, to have mounts of one's own",
        ) from err


def _refuse_open_host_files(address: str) -> None:
    """Nothing that is open already may be a file of this host that the model should be."""
    for name in os.listdir("/proc/self/fd"):
        try:
            kind, path = file_system_of(int(name)), Path(f"/proc/self/fd/{name}").readlink()
        except OSError:
            continue
        is_sysctl = kind == FileSystem.PROC and str(path).startswith("/proc/sys/")
        if kind in _HOST_FILES or is_sysctl:
            raise NotSupported(
                machine=address,
                operation=f"stand in for {path}, which is open already as this host's",
                advice="let the command itself open it, as in \"sh -c '... > FILE'\"",
            )
