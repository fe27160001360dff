"""Looking, through the paths that a command will use, at what stands in for the host's files."""

import os
import stat
from pathlib import Path

from memhp.machines.linux.mounted_model import find_mounted_model
from memhp.serving.kernel_calls import FileSystem, file_system_of
from memhp.serving.mount_over import host_mounts
from memhp.serving.mount_table import mount_number_of, mount_table
from memhp.serving.stand_in_paths import READ_ONLY, Served


class NotStandingIn(Exception):
    """A path of the host is not what it has to be; nothing may be started."""


def check_stand_in(served: tuple[Served, ...], covered: tuple[str, ...], nonce: str) -> None:
    """Check every path; raises ``NotStandingIn`` at the first that is not as it has to be.

    What the model serves is on FUSE and says its nonce, a single file lies on
    the same mount; what is covered holds nothing; what is left of sysfs,
    debugfs and the sysctls cannot be written.
    """
    try:
        folders = [one.path for one in served if one.is_folder]
        for path in folders:
            _check_folder(path, nonce)
        devices = {os.stat(path).st_dev for path in folders}
        for one in served:
            if not one.is_folder:
                _check_file(one.path, devices)
        for path in covered:
            _check_covered(path)
        for path in (*host_mounts(), *READ_ONLY):
            _check_read_only(path)
    except (OSError, ValueError) as err:
        raise NotStandingIn(f"cannot be checked ({err})") from err


def _check_folder(path: str, nonce: str) -> None:
    if file_system_of(path) != FileSystem.FUSE:
        raise NotStandingIn(f"does not lie at {path}: that is not on FUSE")
    found = find_mounted_model(path)
    if found is None or found.nonce != nonce:
        raise NotStandingIn(f"does not lie at {path}: something else does")


def _check_file(path: str, devices: set[int]) -> None:
    """A file has no room for a nonce: it has to be on the very mount whose folders said it."""
    if file_system_of(path) != FileSystem.FUSE or {os.stat(path).st_dev} != devices:
        raise NotStandingIn(f"does not lie at {path}: that is not on its mount")


def _check_covered(path: str) -> None:
    found = os.stat(path)
    if stat.S_ISDIR(found.st_mode):
        empty = os.listdir(path) == []
    else:
        empty = Path(path).read_bytes() == b""
    if not empty or file_system_of(path) in {FileSystem.SYSFS, FileSystem.PROC}:
        raise NotStandingIn(f"does not cover {path}, which is this host's")


def _check_read_only(path: str) -> None:
    """Whoever follows the path must not reach a mount of the host that can be written."""
    if not os.path.lexists(path):
        return
    reached = mount_number_of(path)
    for one in mount_table():
        is_host = one.number == reached and one.kind in {"sysfs", "debugfs", "proc"}
        if is_host and not one.is_read_only:
            raise NotStandingIn(f"leaves {path} of this host open to be written")
