"""Listing blocks, by itself: what ``memhp ls`` needs of a Linux machine and no more."""

import os
from typing import TYPE_CHECKING

from memhp.core.errors import NoSuchMachine
from memhp.core.listing import BlockFile, Listing
from memhp.machines.linux.list_blocks import list_blocks
from memhp.machines.linux.root import MEMORY, Root

if TYPE_CHECKING:  # imported where a folder looks like one
    from memhp.machines.linux.mounted_model import MountedModel


class LinuxLister:
    """Lists the blocks of this host, of a saved tree, or of a mounted model."""

    def __init__(self, folder: str) -> None:
        self._root = open_root(folder)

    def list_blocks(self, want: BlockFile) -> Listing:
        """Read the wanted files of every block; raises ``MachineError``."""
        return list_blocks(self._root, want)


def open_root(folder: str) -> Root:
    """Open what follows ``linux:``; empty means this host. Raises ``NoSuchMachine``.

    Where a mounted model stands in for this host's files, it is the model.
    """
    name = f"linux:{folder}"
    if not folder.strip("/"):
        return Root("/", name, _mounted(f"/{MEMORY}"))
    if not os.path.isdir(folder):
        raise NoSuchMachine(
            machine=name,
            problem="is no folder",
            advice="give the root of a saved tree, or of a mounted model",
        )
    return Root(folder, name, _mounted(folder))


def _mounted(folder: str) -> "MountedModel | None":
    """What a folder is proved to be, where it looks like a mounted model."""
    if not os.path.lexists(os.path.join(folder, ".memhp")):
        return None
    from memhp.machines.linux.mounted_model import find_mounted_model  # noqa: PLC0415

    return find_mounted_model(folder)
