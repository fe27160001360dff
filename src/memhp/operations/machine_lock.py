"""One writer a machine: an operation holds a lock from its first snapshot to its end.

The kernel lets go of the lock when the process ends, however it ends. Whoever
comes second is told who holds it.
"""

import fcntl
import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from memhp.core.errors import JournalError, MachineLocked


@contextmanager
def lock_machines(folder: Path, machines: Mapping[str, str], what: str) -> Iterator[None]:
    """Hold the locks of machines, given as names with identities; raises ``MachineLocked``.

    Always in the same order, so that no two operations wait for each other.
    """
    with ExitStack() as held:
        for name in sorted(machines, key=lambda name: (_lock_name(machines[name]), name)):
            held.enter_context(lock_machine(folder, name, machines[name], what))
        yield


@contextmanager
def lock_machine(folder: Path, name: str, identity: str, what: str) -> Iterator[None]:
    """Hold the machine's lock; raises ``MachineLocked`` at once where somebody else does.

    The machine is known by its identity without the boot, which stands behind
    the last colon.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / _lock_name(identity), os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as err:
        raise JournalError(
            operation="the lock",
            problem=f"cannot be made in {folder} ({err.strerror})",
            advice="nothing was done",
        ) from err
    try:
        _take(handle, name)
        with suppress(OSError):  # who holds it is only told where there is room for it
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"process {os.getpid()} to {what}".encode(), 0)
        yield
    finally:
        os.close(handle)


def _lock_name(identity: str) -> str:
    machine = identity.rpartition(":")[0] or identity
    digest = hashlib.sha256(machine.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return f"{digest}.lock"


def _take(handle: int, name: str) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as err:
        holder = os.pread(handle, 500, 0).decode("utf-8", "replace") or "another process"
        raise MachineLocked(
            machine=name,
            problem=f"is being changed by {holder}",
            advice="try again when that is done",
        ) from err
