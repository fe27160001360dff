"""Looking, through the paths that a command will use, at what stands in for the host's files."""

import os
import stat
from pathlib import Path

from memhp.machines.linux.mounted_model import find_mounted_model
from memhp.serving.kernel_calls import FileSystem, file_system_of
from memhp.serving.mount_over import HOST_KINDS, MACHINE, host_mounts
from memhp.serving.mount_table import mount_table
from memhp.serving.stand_in_paths import NEVER_THE_HOSTS, READ_ONLY, WRITABLE, Served


class NotStandingIn(Exception):
    """A path of the host is not what it has to be; nothing may be started."""


def check_stand_in(
    served: tuple[Served, ...], covered: tuple[str, ...], left: tuple[str, ...], nonce: str
) -> None:
    """Check every path; raises ``NotStandingIn`` at the first that is not as it has to be.

    What the model serves is on FUSE and says its nonce, a single file lies on
    the same mount; what is covered holds nothing; what is left of sysfs,
    debugfs and the sysctls cannot be written.
    """
    taken = {one.path for one in served}
    if missing := [path for path in NEVER_THE_HOSTS if path not in taken]:
        raise NotStandingIn(f"has no {missing[0]} to stand in for this host's")
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
        for path in READ_ONLY:
            if os.path.lexists(path) and not os.statvfs(path).f_flag & os.ST_RDONLY:
                raise NotStandingIn(f"leaves {path} of this host open to be written")
        _check_mounts(left)
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
    is_kept = path in WRITABLE or bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    if not empty or not is_kept or file_system_of(path) in {FileSystem.SYSFS, FileSystem.PROC}:
        raise NotStandingIn(f"does not cover {path}, which is this host's")


def _check_mounts(left: tuple[str, ...]) -> None:
    """What is left of the host cannot be written, nor reached through other processes.

    That goes for what the model covers, too: it might be uncovered.
    """
    last = {one.path: one for one in mount_table() if one.kind in HOST_KINDS}
    under = (last[path] for path in left if path in last)
    for one in (*under, *host_mounts()):
        if not one.is_read_only:
            raise NotStandingIn(f"leaves {one.path} of this host open to be written")
    if os.readlink("/proc/self") != str(os.getpid()):
        raise NotStandingIn("leaves /proc with this host's processes")
    if os.path.lexists(MACHINE):
        raise NotStandingIn(f"leaves {MACHINE} in sight")
