"""The one root folder through which a Linux machine's files are reached."""

import os
from typing import TYPE_CHECKING

from memhp.core.errors import MachineError

if TYPE_CHECKING:  # looking at this host does without it
    from memhp.machines.linux.mounted_model import MountedModel

MEMORY = "sys/devices/system/memory"
NODES = "sys/devices/system/node"
_MOST_BYTES = 1 << 26
_HOW = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
"""A saved tree may hold a FIFO, for whose writer nobody should wait."""


class Root:
    """Files below a folder: ``/`` for this host, any other for a saved tree or a mounted model.

    ``name`` is the machine's address, for errors; ``mounted`` is what was proved
    of a mounted model. An absolute symbolic link in a saved tree is never
    followed out of it: paths here have no such parts.
    """

    def __init__(self, folder: str, name: str, mounted: "MountedModel | None" = None) -> None:
        self.folder = folder.rstrip("/") or "/"
        self.name = name
        self.mounted = mounted

    @property
    def is_live(self) -> bool:
        """Whether these are the running host's own paths, whatever stands in for it there."""
        return self.folder == "/"

    @property
    def is_writable(self) -> bool:
        """Whether its state files can be written at all, guards apart."""
        return self.is_live or self.mounted is not None

    def path(self, relative: str) -> str:
        """Where a file of the machine lies on this host."""
        return f"/{relative}" if self.is_live else f"{self.folder}/{relative}"

    def read(self, relative: str) -> bytes:
        """Read a file that has to be there; raises ``MachineError``."""
        found = self.read_if_there(relative)
        if found is None:
            raise MachineError(
                machine=self.name,
                problem=f"has no {self.path(relative)}",
                advice="give a Linux machine, or a tree saved from one",
            )
        return found

    def read_if_there(self, relative: str) -> bytes | None:
        """Read a file; ``None`` where there is none. Raises ``MachineError``."""
        try:
            handle = os.open(self.path(relative), _HOW)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError) as err:
            raise self.unreadable(relative, err) from err
        try:
            return _read_all(handle)
        except OSError as err:
            raise self.unreadable(relative, err) from err
        finally:
            os.close(handle)

    def text_if_there(self, relative: str) -> str | None:
        """A file's text without its last newline; ``None`` where there is none."""
        found = self.read_if_there(relative)
        return None if found is None else found.decode("utf-8", "replace").removesuffix("\n")

    def names(self, relative: str) -> list[str]:
        """The names in a folder, none where there is no folder; raises ``MachineError``."""
        try:
            return os.listdir(self.path(relative))
        except (FileNotFoundError, NotADirectoryError):
            return []
        except (OSError, ValueError) as err:
            raise self.unreadable(relative, err) from err

    def link(self, relative: str) -> str:
        """Where a symbolic link points, as it is written; empty where there is none."""
        try:
            return os.readlink(self.path(relative))
        except OSError:
            return ""

    def why_unwritable(self, relative: str) -> str | None:
        """What to do about a file that this process may not write; ``None`` where it may."""
        path = self.path(relative)
        if os.access(path, os.W_OK):
            return None
        if os.geteuid() != 0:
            return f"run it as root: nobody else may write {path}"
        return f"{path} cannot be written, as in a container: run it on the host"

    def unreadable(self, relative: str, err: Exception) -> MachineError:
        """The error for a file that is there and cannot be read."""
        why = err.strerror if isinstance(err, OSError) else str(err)
        return MachineError(
            machine=self.name,
            problem=f"does not let {self.path(relative)} be read ({why})",
            advice="check who may read it",
        )


def _read_all(handle: int) -> bytes:
    """Read to the end; a file of sysfs comes in one piece, ``/proc`` may take several."""
    pieces = []
    size = 0
    while piece := os.read(handle, 1 << 16):
        pieces.append(piece)
        size += len(piece)
        if size > _MOST_BYTES:
            raise OSError(0, "it is far too large")
    return b"".join(pieces)
