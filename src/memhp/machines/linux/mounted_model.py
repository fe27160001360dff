"""Proof that a folder is a mounted model and not files of a real kernel.

It rests on three things that only a mount by memhp has together: the folder's
file system is FUSE (``statfs``), the kernel's list of mounts has that very file
system (``st_dev``) as ``fuse.memhp``, and the hidden file ``.memhp`` in it reads
back as what a server writes.
"""

import json
import os
from dataclasses import dataclass
from typing import Final

NOTE: Final = ".memhp"
FS_TYPE: Final = "fuse.memhp"
FUSE_MAGIC: Final = 0x65735546
"""``FUSE_SUPER_MAGIC``."""
_LONGEST_NOTE: Final = 1 << 16
_STATFS_WORDS: Final = 32
"""More words than ``struct statfs`` has anywhere; its first is ``f_type``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MountedModel:
    """What the hidden file of a mounted model says, and the device number of its files.

    ``nonce`` is drawn at random by each server, ``identity`` is the machine's
    own. ``uevents`` is a socket's path, or empty.
    """

    device: int
    pid: int
    nonce: str
    machine: str
    identity: str
    uevents: str


def find_mounted_model(folder: str) -> MountedModel | None:
    """Look whether a folder is a mounted model, or lies in one; ``None`` for anything else.

    Raises nothing: what cannot be proved is not so.
    """
    try:
        handle = os.open(os.path.join(folder, NOTE), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except (OSError, ValueError):
        return None
    try:
        if not is_fuse(handle):
            return None
        device = os.fstat(handle).st_dev
        said = json.loads(os.read(handle, _LONGEST_NOTE))
        if device not in _devices_of_models():
            return None
        return MountedModel(
            device=device,
            pid=int(said["pid"]),
            nonce=str(said["nonce"]),
            machine=str(said["machine"]),
            identity=str(said["identity"]),
            uevents=str(said["uevents"]),
        )
    except (OSError, ValueError, TypeError, KeyError):
        return None
    finally:
        os.close(handle)


def is_fuse(handle: int) -> bool:
    """Whether an open file lies on a FUSE file system (``fstatfs``)."""
    import ctypes  # noqa: PLC0415 - looking at this host does without it

    found = (ctypes.c_long * _STATFS_WORDS)()
    libc = ctypes.CDLL(None, use_errno=True)
    return libc.fstatfs(handle, ctypes.byref(found)) == 0 and found[0] == FUSE_MAGIC


def is_of(model: MountedModel, handle: int) -> bool:
    """Whether an open file is one of this mounted model."""
    return is_fuse(handle) and os.fstat(handle).st_dev == model.device


def _devices_of_models() -> set[int]:
    """The device numbers of every file system that memhp serves, in this mount namespace."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
        return {device for line in lines if (device := _device_of_model(line)) is not None}


def _device_of_model(line: str) -> int | None:
    """The device of one line of ``mountinfo``; ``None`` for a mount of another kind (proc(5))."""
    before, _, behind = line.partition(" - ")
    if behind.split(" ")[0] != FS_TYPE:
        return None
    major, _, minor = before.split(" ")[2].partition(":")
    return os.makedev(int(major), int(minor))
