"""Taking a mount away, for root and for whoever else may."""

import ctypes
import os
import subprocess
from pathlib import Path
from typing import Final

from memhp.serving.fuse_library import UNMOUNTER

_DETACH: Final = 2
"""``MNT_DETACH``: out of sight at once, gone when nobody uses it any more."""
_NOFOLLOW: Final = 8
"""``UMOUNT_NOFOLLOW``."""


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
