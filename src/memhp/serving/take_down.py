"""Taking a mounted model down from outside: its server is asked to end, and waited for."""

import os
import select
import signal
from pathlib import Path
from typing import Final

from memhp.core.errors import ArgumentError, MachineError
from memhp.machines.linux.mounted_model import MountedModel, find_mounted_model
from memhp.serving.unmount import is_mounted, real_place, unmount

_END_MILLISECONDS: Final = 30_000


def take_down(folder: Path) -> MountedModel | None:
    """Unmount the model at a folder; returns what it was, ``None`` where it did not answer.

    Its server is dead then, or lets in nobody but its own user.

    What its server had under way is ended, and saved. Raises ``ArgumentError``
    for a folder at which no model is mounted, and ``MachineError``.
    """
    place = real_place(folder)
    if not is_mounted(place):
        raise ArgumentError(
            text=str(folder),
            problem="is no folder at which a model is mounted",
            advice="'findmnt -t fuse.memhp' shows them",
        )
    model = find_mounted_model(os.fspath(place))
    if model is None:
        _detach(place)
        return None
    _end(model, place)
    return model


def _end(model: MountedModel, folder: Path) -> None:
    """Ask the server to end, and wait for it; raises ``MachineError``."""
    try:
        server = os.pidfd_open(model.pid)
    except ProcessLookupError:
        # It has ended, or lives in another PID namespace.
        _detach(folder)
        return
    try:
        # Only now the number cannot be given to another process any more.
        if find_mounted_model(os.fspath(folder)) != model:
            return
        signal.pidfd_send_signal(server, signal.SIGTERM)
        waiting = select.poll()
        waiting.register(server, select.POLLIN)
        if not waiting.poll(_END_MILLISECONDS):
            raise _not_taken_down(folder, f"process {model.pid} does not end")
    except PermissionError as err:
        raise _not_taken_down(folder, f"process {model.pid} belongs to another user") from err
    finally:
        os.close(server)


def _detach(folder: Path) -> None:
    problem = unmount(folder)
    if problem:
        raise _not_taken_down(folder, problem)


def _not_taken_down(folder: Path, problem: str) -> MachineError:
    return MachineError(
        machine=f"linux:{folder}",
        problem=f"cannot be unmounted ({problem})",
        advice="try it as the user who mounted it, or as root",
    )
