"""Several writers of one file at once, as sysfs has it.

The kernel lets one writer at a time into a file of FUSE unless ``open`` was
answered with ``FOPEN_PARALLEL_DIRECT_WRITES``; whoever comes second waits on
the inode's lock, where not even SIGKILL reaches it. libfuse sets the flag from
3.15 on. Before that, its replies are sent through a function of ours
(``fuse_session_custom_io()``, from 3.13 on), which adds it.
"""

import ctypes
from types import ModuleType
from typing import Any, Final

_SETS_THE_FLAG: Final = (3, 15)
_CUSTOM_IO: Final = "fuse_session_custom_io"
_PARALLEL_DIRECT_WRITES: Final = 1 << 6
"""``FOPEN_PARALLEL_DIRECT_WRITES`` (Linux 6.2); older kernels do not look at it."""
_OPEN_REPLY_BYTES: Final = 16
"""``struct fuse_open_out``: no other answer is of this size, but that to ``opendir``."""
_OPEN_FLAGS_AT: Final = 8


class _Piece(ctypes.Structure):
    """``struct iovec``."""

    _fields_ = (("start", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _CustomIo(ctypes.Structure):
    """``struct fuse_custom_io``; the two that are missing are for splice, and stay empty."""

    _fields_ = (
        ("writev", ctypes.c_void_p),
        ("read", ctypes.c_void_p),
        ("splice_receive", ctypes.c_void_p),
        ("splice_send", ctypes.c_void_p),
        ("clone", ctypes.c_void_p),
    )


_Writev = ctypes.CFUNCTYPE(
    ctypes.c_ssize_t,
    ctypes.c_int,
    ctypes.POINTER(_Piece),
    ctypes.c_int,
    ctypes.c_void_p,
    use_errno=True,
)


def allow_parallel_writes(fuse: ModuleType, session_of: ctypes.c_void_p, config: Any) -> object:
    """Let several write to a file at once; is called while libfuse starts.

    ``session_of`` is the ``struct fuse``. What is returned has to be kept for as
    long as it is mounted.
    """
    config.parallel_direct_writes = 1
    library = fuse._libfuse  # noqa: SLF001
    version = (fuse.fuse_version_major, fuse.fuse_version_minor)
    if version >= _SETS_THE_FLAG or not hasattr(library, _CUSTOM_IO):
        return None
    library.fuse_get_session.restype = ctypes.c_void_p
    session = ctypes.c_void_p(library.fuse_get_session(session_of))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.writev.restype = ctypes.c_ssize_t
    send = _Writev(_marking(libc.writev))
    ways = _CustomIo(
        writev=ctypes.cast(send, ctypes.c_void_p),
        # It is called with one argument more, which read(2) does not look at.
        read=ctypes.cast(libc.read, ctypes.c_void_p),
    )
    library.fuse_session_custom_io(session, ctypes.byref(ways), library.fuse_session_fd(session))
    return send, libc


def _marking(writev: Any) -> Any:
    """A ``writev`` that adds the flag to what answers an ``open``."""

    def send(handle: int, pieces: Any, count: int, _userdata: int) -> int:
        if count == 2 and pieces[1].length == _OPEN_REPLY_BYTES:
            flags = ctypes.c_uint32.from_address(pieces[1].start + _OPEN_FLAGS_AT)
            flags.value |= _PARALLEL_DIRECT_WRITES
        sent: int = writev(handle, pieces, count)
        return sent

    return send
