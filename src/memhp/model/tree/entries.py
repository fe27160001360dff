"""Directories, files and links of a modelled sysfs and procfs.

Entries are made when a path is walked and say nothing of how they are served:
the same tree answers a call in the process and, later, a mounted file system.
"""

import errno
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from memhp.model.steps import KernelRefusal, Steps

Write = Callable[[str], Steps[None]]
"""Takes what was written; stops where the kernel may sleep; may refuse."""


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file that can be read, written, or both.

    ``read`` gives the whole content, ``bytes`` where it is binary. A file that
    is too large for that has ``at`` instead, which gives up to so many bytes
    from an offset, none at its end. A private
    file is for its owner alone.
    """

    read: Callable[[], str | bytes] | None = None
    write: Write | None = None
    at: Callable[[int, int], bytes] | None = None
    is_private: bool = False

    @property
    def mode(self) -> int:
        """Permission bits, as sysfs shows them."""
        readable = 0o400 if self.is_private or self.at else 0o444
        return (readable if self.read or self.at else 0) | (0o200 if self.write else 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A symbolic link; ``target`` is relative to the directory that holds it."""

    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """A directory: the names in it, and the entry behind a name.

    ``names`` may be long (a block a name); ``child`` finds one without it.
    """

    names: Callable[[], Iterable[str]]
    child: Callable[[str], "Entry | None"]


Entry = File | Link | Directory


def directory(entries: Mapping[str, Entry]) -> Directory:
    """Make a directory of a few fixed entries."""
    return Directory(names=lambda: list(entries), child=entries.get)


def text(content: str) -> File:
    """Make a file that only reads."""
    return File(read=lambda: content)


def refuse(code: int, reason: str) -> KernelRefusal:
    """Make the refusal that a reader or writer gets."""
    return KernelRefusal(code, reason)


def at_once(change: Callable[[str], None]) -> Write:
    """Make a writer of something that never sleeps."""

    def write(written: str) -> Steps[None]:
        change(written)
        yield from ()

    return write


def word(written: str) -> str:
    """What ``sysfs_streq()`` compares: the text without one trailing newline."""
    return written.removesuffix("\n")


def no_such(path: str) -> KernelRefusal:
    """The refusal for a path that is not there."""
    return KernelRefusal(errno.ENOENT, f"there is no {path}")
