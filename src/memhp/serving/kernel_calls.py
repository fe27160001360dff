"""Calls of the kernel that Python 3.11 has no function for: namespaces, mounts, capabilities."""

import ctypes
import ctypes.util
import os
from enum import IntEnum, IntFlag

_PR_SET_PDEATHSIG, _PR_CAPBSET_READ, _PR_CAPBSET_DROP = 1, 23, 24
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_LOWER = 47, 3
_CAPABILITY_VERSION_3 = 0x20080522
_UMOUNT_DETACH = 2


class Namespaces(IntFlag):
    """What ``unshare(2)`` makes anew."""

    MOUNT = 0x00020000
    USER = 0x10000000
    PID = 0x20000000


class MountFlags(IntFlag):
    """Flags of ``mount(2)``; the first six have the values that ``statvfs`` reports."""

    READ_ONLY = 1
    NO_SUID = 2
    NO_DEVICES = 4
    NO_EXECUTE = 8
    NO_ACCESS_TIME = 1024
    NO_DIRECTORY_TIME = 2048
    REMOUNT = 32
    BIND = 4096
    RECURSIVE = 16384
    PRIVATE = 1 << 18
    RELATIVE_TIME = 1 << 21


class Capability(IntEnum):
    """Capabilities by their number (``include/uapi/linux/capability.h``)."""

    SYS_MODULE = 16
    SYS_RAWIO = 17
    SYS_ADMIN = 21
    SYS_BOOT = 22


class FileSystem(IntEnum):
    """What ``statfs(2)`` says of a file system (``include/uapi/linux/magic.h``)."""

    DEBUGFS = 0x64626720
    FUSE = 0x65735546
    PROC = 0x9FA0
    SYSFS = 0x62656572


class _Statfs(ctypes.Structure):
    """The head of ``struct statfs`` is its type; what follows is not used here."""

    _fields_ = (("type", ctypes.c_long), ("rest", ctypes.c_long * 31))


class _CapabilityHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _CapabilityData(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def unshare(namespaces: Namespaces) -> None:
    """Leave namespaces for new ones; raises ``OSError``."""
    _checked(_libc().unshare(int(namespaces)), "unshare")


def mount(source: str, target: str, kind: str, flags: MountFlags, options: str = "") -> None:
    """Call ``mount(2)``; raises ``OSError`` with the target."""
    words = (os.fsencode(source), os.fsencode(target), kind.encode() or None)
    done = _libc().mount(*words, ctypes.c_ulong(flags), options.encode() or None)
    _checked(done, target)


def bind(source: str, target: str) -> None:
    """Let what lies at ``source``, with what is mounted below it, lie at ``target`` as well."""
    mount(source, target, "", MountFlags.BIND | MountFlags.RECURSIVE)


def set_read_only(mount_point: str) -> None:
    """Make one mount read-only; its file system elsewhere stays as it is. Raises ``OSError``."""
    kept = MountFlags(0)
    shown = os.statvfs(mount_point).f_flag
    for flag in (
        MountFlags.NO_SUID,
        MountFlags.NO_DEVICES,
        MountFlags.NO_EXECUTE,
        MountFlags.NO_ACCESS_TIME,
        MountFlags.NO_DIRECTORY_TIME,
    ):
        kept |= flag if shown & flag else MountFlags(0)
    flags = MountFlags.REMOUNT | MountFlags.BIND | MountFlags.READ_ONLY | kept
    mount("none", mount_point, "", flags)


def detach(mount_point: str) -> None:
    """Take a mount away from its place; what is bound from it elsewhere stays."""
    _checked(_libc().umount2(os.fsencode(mount_point), _UMOUNT_DETACH), mount_point)


def file_system_of(path: str | int) -> int:
    """The type of the file system that a path or descriptor is on; raises ``OSError``."""
    found = _Statfs()
    if isinstance(path, int):
        _checked(_libc().fstatfs(path, ctypes.byref(found)), f"descriptor {path}")
    else:
        _checked(_libc().statfs(os.fsencode(path), ctypes.byref(found)), path)
    return int(found.type)


def die_with_parent(signal_number: int) -> None:
    """Have the kernel send a signal when the parent ends."""
    _checked(_prctl(_PR_SET_PDEATHSIG, signal_number), "prctl")


def drop(capabilities: tuple[Capability, ...]) -> None:
    """Give capabilities up, in every set, so that no program started later gets them back.

    Raises ``OSError`` where one would stay.
    """
    for capability in capabilities:
        if _prctl(_PR_CAPBSET_READ, capability) == 1:
            _checked(_prctl(_PR_CAPBSET_DROP, capability), "the bounding set")
        _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_LOWER, capability)
    header = _CapabilityHeader(version=_CAPABILITY_VERSION_3, pid=0)
    data = (_CapabilityData * 2)()
    _checked(_libc().capget(ctypes.byref(header), data), "capget")
    for capability in capabilities:
        word, kept = data[capability // 32], ~(1 << capability % 32)
        word.effective &= kept
        word.permitted &= kept
        word.inheritable &= kept
    _checked(_libc().capset(ctypes.byref(header), data), "capset")


def _prctl(operation: int, *arguments: int) -> int:
    words = [ctypes.c_ulong(word) for word in (*arguments, 0, 0, 0, 0)[:4]]
    return int(_libc().prctl(operation, *words))


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> None:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), what)
