"""What libfuse asks for, answered from the served files. Each call may come from any thread."""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from functools import wraps
from logging import getLogger
from types import ModuleType
from typing import Any, NoReturn, ParamSpec, TypeVar

from memhp.core.errors import MemhpError
from memhp.serving.fuse_library import writer_interrupted
from memhp.serving.served_files import ServedFiles

P = ParamSpec("P")
R = TypeVar("R")
_log = getLogger(__name__)


def _or_eio(answer: Callable[P, R]) -> Callable[P, R]:
    """Let what cannot be kept be an error of writing, and say it in the log."""

    @wraps(answer)
    def asked(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return answer(*args, **kwargs)
        except MemhpError as err:
            _log.error("%s", err)
            raise OSError(errno.EIO, str(err)) from err

    return asked


class FuseOperations:
    """The operations of ``struct fuse_operations``, by their names there.

    mfusepy turns an ``OSError`` into its errno. Names that are missing here are
    answered by libfuse: there are no extended attributes, no locks, no ioctl.
    """

    use_ns = True

    def __init__(
        self,
        fuse: ModuleType,
        files: ServedFiles,
        owner: tuple[int, int],
        begin: Callable[[Any], None],
        end: Callable[[], None],
    ) -> None:
        self._files = files
        self._interrupted = writer_interrupted(fuse)
        self._context = fuse.fuse_get_context
        self._begin = begin
        self._end = end
        self._same: dict[str, Any] = {"st_uid": owner[0], "st_gid": owner[1], "st_nlink": 1}

    def init_with_config(self, _connection: object, config: Any) -> None:
        """The kernel has been told, and asks from now on."""
        self._begin(config)

    def destroy(self, _path: str) -> None:
        """The kernel asks nothing more, and what libfuse holds is about to be freed."""
        self._end()

    def getattr(self, path: str, _handle: int | None) -> dict[str, Any]:
        """``stat``."""
        found = self._files.attributes(path)
        return {**self._same, "st_mode": found.mode, "st_size": found.size_bytes}

    def access(self, path: str, mode: int) -> int:
        """``access``."""
        self._files.may(path, mode, self._context()[0])
        return 0

    def readlink(self, path: str) -> str:
        """``readlink``."""
        return self._files.target(path)

    def readdir(self, path: str, _handle: int) -> Iterator[tuple[str, int, int]]:
        """``getdents``: names with their types."""
        yield from ((name, stat.S_IFDIR, 0) for name in (".", ".."))
        yield from ((name, kind, 0) for name, kind in self._files.names(path))

    def open(self, path: str, flags: int) -> int:
        """``open``."""
        user = self._context()[0] if flags & os.O_ACCMODE != os.O_RDONLY else 0
        return self._files.open(path, flags, user)

    def read(self, _path: str, size: int, offset: int, handle: int) -> bytes:
        """``read``."""
        return self._files.read(handle, size, offset)

    @_or_eio
    def write(self, _path: str, data: bytes, _offset: int, handle: int) -> int:
        """``write``; ends with ``EINTR`` once the writer is signalled."""
        return self._files.write(handle, data, lambda: bool(self._interrupted()))

    def truncate(self, path: str, _length: int) -> int:
        """``O_TRUNC`` and ``truncate``: sysfs takes it and does nothing."""
        self._files.attributes(path)
        return 0

    def utimens(self, path: str, _times: object) -> int:
        """``touch``: taken, and nothing is done."""
        self._files.attributes(path)
        return 0

    def release(self, _path: str, handle: int) -> int:
        """The last ``close``."""
        self._files.close(handle)
        return 0

    def create(self, path: str, *_more: object) -> NoReturn:
        """``open`` with ``O_CREAT`` of what is not there: sysfs knows no such operation."""
        raise PermissionError(errno.EACCES, f"{path} cannot be made")

    def _never(self, *_more: object) -> NoReturn:
        """What the kernel alone may do to its files."""
        raise PermissionError(errno.EPERM, "sysfs does not allow it")

    mkdir = mknod = unlink = rmdir = rename = link = symlink = chmod = chown = _never
