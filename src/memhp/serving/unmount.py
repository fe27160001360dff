"""Taking a mount away, for root and for whoever else may."""

import ctypes
import os
import re
import subprocess
from pathlib import Path
from typing import Final

from memhp.core.errors import ArgumentError
from memhp.machines.linux.mounted_model import FS_TYPE
from memhp.serving.fuse_library import UNMOUNTER

_MOUNT_POINT: Final = 4
"""Place of the mount point in a line of ``mountinfo``."""
_DETACH: Final = 2
"""``MNT_DETACH``: out of sight at once, gone when nobody uses it any more."""
_NOFOLLOW: Final = 8
"""``UMOUNT_NOFOLLOW``."""


def real_place(folder: Path) -> Path:
    """The folder as the kernel's list of mounts has it, without links in its path.

    Raises ``ArgumentError`` for a relative one where the current folder is gone.
    """
    try:
        return Path(os.path.realpath(folder))
    except OSError as err:
        raise ArgumentError(
            text=str(folder),
            problem=f"cannot be found from the current folder ({os.strerror(err.errno or 0)})",
            advice="go to a folder that is there, or give the whole path",
        ) from err


def is_mounted(folder: Path) -> bool:
    """Whether a model is mounted at a folder, alive or not: what lies uppermost there."""
    here = None
    with Path("/proc/self/mountinfo").open("rb") as lines:
        for line in lines:
            before, _, behind = line.partition(b" - ")
            if _unescaped(before.split(b" ")[_MOUNT_POINT]) == os.fsencode(folder):
                here = behind.split(b" ")[0]
    return here == FS_TYPE.encode()


def _unescaped(name: bytes) -> bytes:
    """Blanks and the like are three octal digits (proc(5))."""
    return re.sub(rb"\\([0-7]{3})", lambda found: bytes([int(found[1], 8)]), name)


def unmount(folder: Path) -> str:
    """Unmount a FUSE file system; returns what is in the way, or nothing where it is gone."""
    if os.geteuid() == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.umount2(os.fsencode(folder), _DETACH | _NOFOLLOW) == 0:
            return ""
        return os.strerror(ctypes.get_errno())
    done = subprocess.run(
        [UNMOUNTER, "-u", "-z", "-q", "--", os.fspath(folder)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stderr.strip() if done.returncode else ""
