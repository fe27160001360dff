"""A Linux machine that is watched: each uevent of a block, with what the block reads after it."""

from collections.abc import Callable, Iterator

from memhp.core.changes import BlockChange
from memhp.core.errors import MachineError
from memhp.core.geometry import BlockId, NodeId
from memhp.machines.linux.numbers import indexed
from memhp.machines.linux.root import MEMORY, Root
from memhp.machines.linux.uevents import Heard, Uevents, open_uevents


class Watch:
    """Listens from the moment on at which it is made; raises as ``open_uevents()`` does."""

    def __init__(
        self,
        root: Root,
        now: Callable[[], str],
        listen: Callable[[Root], Uevents] = open_uevents,
    ) -> None:
        self._root = root
        self._now = now
        self._uevents = listen(root)

    def fileno(self) -> int:
        """What is readable when something has changed."""
        return self._uevents.fileno()

    def change(self) -> BlockChange | None:
        """The next change, without waiting; ``None`` for what is about no block."""
        heard = self._uevents.hear()
        return None if heard is None else self._read(heard)

    def close(self) -> None:
        """Listen no longer."""
        self._uevents.close()

    def _read(self, heard: Heard) -> BlockChange:
        """Read the block; its zones only once it has a node.

        A block is announced before it has one, and ``valid_zones_show()`` then looks
        for node -1: Linux 6.12 dies of it (``mem->nid`` is set just before the link
        ``nodeN`` is made, in ``do_register_memory_block_under_node()``).
        """
        folder = f"{MEMORY}/memory{heard.block}"
        node = next(self._nodes(folder), None)
        zones = None if node is None else self._text(f"{folder}/valid_zones")
        return BlockChange(
            time=self._now(),
            action=heard.action,
            block=BlockId(heard.block),
            state=self._text(f"{folder}/state"),
            zones=tuple((zones or "").split()),
            node=node,
        )

    def _text(self, relative: str) -> str | None:
        try:
            return self._root.text_if_there(relative)
        except MachineError:
            # It goes while it is read (ENODEV).
            return None

    def _nodes(self, folder: str) -> Iterator[NodeId]:
        try:
            names = self._root.names(folder)
        except MachineError:
            return
        yield from (NodeId(n) for name in names if (n := indexed(name, "node")) is not None)
