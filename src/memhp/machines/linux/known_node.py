"""Whether a block has its node yet, which ``valid_zones`` of one that is not online needs.

A block is to be seen before it has a node, and ``valid_zones_show()`` then
looks for node -1: Linux 6.12 dies of it. ``mem->nid`` is set just before the
link ``nodeN`` is made (``do_register_memory_block_under_node()``). An online
block is never asked for its node there.
"""

import os

from memhp.machines.linux.block_nodes import indices
from memhp.machines.linux.root import NODES, Root


def nodes_matter(root: Root) -> bool:
    """Whether the files are a running kernel's own, and it knows nodes."""
    return root.is_live and root.mounted is None and os.path.isdir(root.path(NODES))


class KnownNode:
    """Asks it of blocks in a row, which mostly are on the same node: one system call each."""

    def __init__(self, folder: int) -> None:
        self._folder = folder
        self._last = "node0"

    def is_known(self, block: str) -> bool:
        """Whether a block has a node by now."""
        if os.access(f"{block}/{self._last}", os.F_OK, dir_fd=self._folder):
            return True
        try:
            handle = os.open(block, os.O_RDONLY | os.O_DIRECTORY, dir_fd=self._folder)
        except OSError:
            return False
        try:
            found = indices(os.listdir(handle), "node")
        except OSError:
            return False  # it goes while it is looked at
        finally:
            os.close(handle)
        if found:
            self._last = f"node{found[0]}"
        return bool(found)
