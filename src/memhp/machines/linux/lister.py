"""Listing blocks, by itself: what ``memhp ls`` needs of a Linux machine and no more."""

import os

from memhp.core.errors import NoSuchMachine
from memhp.core.listing import BlockFile, Listing
from memhp.machines.linux.list_blocks import list_blocks
from memhp.machines.linux.root import Root


class LinuxLister:
    """Lists the blocks of this host, or of a saved tree."""

    def __init__(self, folder: str) -> None:
        self._root = open_root(folder)

    def list_blocks(self, want: BlockFile) -> Listing:
        """Read the wanted files of every block; raises ``MachineError``."""
        return list_blocks(self._root, want)


def open_root(folder: str) -> Root:
    """Open what follows ``linux:``; empty means this host. Raises ``NoSuchMachine``."""
    name = f"linux:{folder}"
    if folder and not os.path.isdir(folder):
        raise NoSuchMachine(
            machine=name, problem="is no folder", advice="give the root of a saved tree"
        )
    return Root(folder or "/", name)
