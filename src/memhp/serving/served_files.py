"""The served tree as a file system: attributes, names, open files, with the kernel's errno.

Source: ``kernfs_fop_open()``, ``kernfs_fop_write_iter()``, ``sysfs_kf_seq_show()``
for sysfs, ``proc_reg_open()`` and ``proc_sys_permission()`` for procfs.
"""

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from memhp.machines.linux.mounted_model import NOTE
from memhp.model.steps import KernelRefusal
from memhp.model.tree.entries import Directory, Entry, File, Link, no_such
from memhp.model.tree.tree import Tree
from memhp.model.uevents import Uevent
from memhp.serving.open_files import OpenFile, OpenFiles
from memhp.serving.served_kernel import Interrupted, ServedKernel

_PAGE_BYTES: Final = 4096
"""What every file of sysfs says its size is, and the most that one write takes."""
_MOST_ENTRIES: Final = 65_536
_DIGITS: Final = "0123456789"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributes:
    """What ``stat`` shows of an entry."""

    mode: int
    size_bytes: int = 0


class ServedFiles:
    """Files by path. ``owner`` is the user who may do here what root may.

    ``note`` is the content of the hidden file, which every directory has and
    none lists.
    """

    def __init__(self, kernel: ServedKernel, note: bytes, owner: int) -> None:
        self._kernel = kernel
        self._note = File(read=lambda: note)
        self._note_bytes = len(note)
        self._owner = owner
        self._handles = OpenFiles()
        self._entries: dict[str, Entry] = {}
        self._entries_of = -1

    def attributes(self, path: str) -> Attributes:
        """Raises ``KernelRefusal`` (ENOENT)."""
        entry = self._entry(path)
        match entry:
            case Directory():
                return Attributes(mode=stat.S_IFDIR | (0o555 if _in_proc(path) else 0o755))
            case Link():
                return Attributes(mode=stat.S_IFLNK | 0o777)
            case File():
                return Attributes(mode=stat.S_IFREG | entry.mode, size_bytes=self._size(path))

    def names(self, path: str) -> list[tuple[str, int]]:
        """The names in a directory, each with the type bits of its mode."""
        return self._kernel.look(lambda tree: list(_typed_names(self._find(tree, path), path)))

    def target(self, path: str) -> str:
        """Where a link points; raises ``KernelRefusal`` (EINVAL for what is none)."""
        entry = self._entry(path)
        if not isinstance(entry, Link):
            raise KernelRefusal(errno.EINVAL, f"{path} is no link")
        return entry.target

    def may(self, path: str, wanted: int, user: int) -> None:
        """Let a user do what ``access(2)`` asks for, or raise ``KernelRefusal`` (EACCES)."""
        mode = self.attributes(path).mode
        allowed = _permissions(mode)
        if user in {0, self._owner}:
            # ``CAP_DAC_OVERRIDE``: all but running what nobody may run.
            allowed |= os.R_OK | os.W_OK
        if wanted & (os.R_OK | os.W_OK | os.X_OK) & ~allowed:
            raise _denied(path, mode)

    def open(self, path: str, flags: int, user: int) -> int:
        """Open a file; returns its handle. Raises ``KernelRefusal`` (ENOENT, EACCES, EISDIR).

        In sysfs not even root opens for writing what cannot be written.
        """
        entry = self._entry(path)
        if not isinstance(entry, File):
            raise KernelRefusal(errno.EISDIR, f"{path} is a directory")
        access = flags & os.O_ACCMODE
        wanted = (os.R_OK if access != os.O_WRONLY else 0) | (
            os.W_OK if access != os.O_RDONLY else 0
        )
        self.may(path, wanted, user)
        if not _opens_all(path) and wanted & ~(entry.mode >> 6):
            raise _denied(path, entry.mode)
        return self._handles.add(OpenFile(path=path, file=entry))

    def read(self, number: int, size_bytes: int, offset: int) -> bytes:
        """Read from an open file; its content is made anew at offset 0.

        Raises ``KernelRefusal`` (ENODEV once it is gone).
        """
        handle = self._here(number)
        part = handle.file.at
        if part is not None:
            return self._kernel.look(lambda _tree: part(offset, size_bytes))
        if offset == 0 or handle.content is None:
            handle.content = self._kernel.look(lambda _tree: _content(handle))
        return handle.content[offset : offset + size_bytes]

    def write(self, number: int, data: bytes, interrupted: Interrupted) -> int:
        """Write to an open file, wait for the end of it, and say how much was taken.

        Raises ``KernelRefusal`` and ``MachineError``.
        """
        handle = self._here(number)
        if handle.file.write is None:
            raise KernelRefusal(errno.EIO, f"{handle.path} cannot be written")
        taken = data[:_PAGE_BYTES]
        # The kernel reads it as a C string.
        text = taken.partition(b"\0")[0].decode("ascii", "surrogateescape")
        if text:
            self._kernel.write(handle.path, text, interrupted)
        return len(taken)

    def close(self, number: int) -> None:
        """Forget an open file."""
        self._handles.drop(number)

    def hear(self, uevent: Uevent) -> None:
        """Lose what a uevent says is gone; is called while the kernel is locked."""
        if uevent.action == "remove":
            self._handles.lose(f"/sys{uevent.devpath}")

    def _here(self, number: int) -> OpenFile:
        handle = self._handles[number]
        if handle.gone:
            raise KernelRefusal(errno.ENODEV, f"{handle.path} is gone")
        return handle

    def _size(self, path: str) -> int:
        if path.endswith(f"/{NOTE}"):
            return self._note_bytes
        return 0 if _in_proc(path) else _PAGE_BYTES

    def _entry(self, path: str) -> Entry:
        """Find an entry; raises ``KernelRefusal`` (ENOENT)."""
        found = self._entries.get(path)
        if found is None or self._entries_of != self._kernel.nr_steps:
            found = self._kernel.look(lambda tree: self._find(tree, path))
        return found

    def _find(self, tree: Tree, path: str) -> Entry:
        """Walk down one step from the folder, which is found the same way.

        What was found is remembered until somebody writes.
        """
        if self._entries_of != self._kernel.nr_steps or len(self._entries) >= _MOST_ENTRIES:
            self._entries, self._entries_of = {}, self._kernel.nr_steps
        found = self._entries.get(path)
        if found is None:
            found = self._entries[path] = self._walk(tree, path)
        return found

    def _walk(self, tree: Tree, path: str) -> Entry:
        above, _, name = path.rpartition("/")
        if not name:
            root = tree.find("/")
            if root is None:
                raise AssertionError("a tree has a root")
            return root
        folder = self._find(tree, above or "/")
        if not isinstance(folder, Directory):
            raise no_such(path)
        found = self._note if name == NOTE else folder.child(name)
        if found is None:
            raise no_such(path)
        return found


def _typed_names(folder: Entry, path: str) -> Iterator[tuple[str, int]]:
    """Names and types; names that differ in their number only are of one type."""
    if not isinstance(folder, Directory):
        raise KernelRefusal(errno.ENOTDIR, f"{path} is no directory")
    types: dict[str, int] = {}
    for name in folder.names():
        stem = name.rstrip(_DIGITS)
        if stem not in types:
            types[stem] = _type_of(folder.child(name))
        yield name, types[stem]


def _type_of(entry: Entry | None) -> int:
    match entry:
        case Directory():
            return stat.S_IFDIR
        case Link():
            return stat.S_IFLNK
        case _:
            return stat.S_IFREG


def _permissions(mode: int) -> int:
    """What whoever is neither owner nor of the group may do."""
    return mode & (os.R_OK | os.W_OK | os.X_OK)


def _denied(path: str, mode: int) -> KernelRefusal:
    return KernelRefusal(errno.EACCES, f"{path} has the mode {mode & 0o777:04o}")


def _content(handle: OpenFile) -> bytes:
    if handle.file.read is None:
        raise KernelRefusal(errno.EIO, f"{handle.path} cannot be read")
    content = handle.file.read()
    return content if isinstance(content, bytes) else content.encode("ascii", "replace")


def _in_proc(path: str) -> bool:
    return path.startswith("/proc/") or path == "/proc"


def _opens_all(path: str) -> bool:
    """Procfs lets its owner open anything and refuses later; sysctls are stricter."""
    return _in_proc(path) and not path.startswith("/proc/sys/")
