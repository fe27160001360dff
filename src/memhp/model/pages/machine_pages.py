"""The pages of a machine as blocks, zones and hotplug see them: ``PageLevel``."""

from memhp.core.geometry import NodeId
from memhp.core.words import ZoneType
from memhp.model.kernel import Kernel
from memhp.model.page_level import Left, Obstacle
from memhp.model.pages.isolate import (
    describe,
    find_obstacle,
    isolate_range,
    remove_range,
    unisolate,
)
from memhp.model.pages.migrate import move_out
from memhp.model.pages.pages import Pages
from memhp.model.pages.populate import enter, refresh


class MachinePages(Pages):
    """``Pages`` with what offlining and onlining do to whole ranges of them."""

    def obstacle(self, start: int, end: int) -> Obstacle | None:
        """Find the page at which isolating would stop, if any."""
        found = find_obstacle(self, start, end)
        return None if found is None else describe(self, found[0])

    def isolate(self, start: int, end: int) -> Obstacle | None:
        """Isolate a range, per-cpu lists drained first, or say what stands in the way."""
        self.drain()
        return isolate_range(self, start, end)

    def move_out(self, kernel: Kernel, start: int, end: int) -> Left:
        """Migrate what an isolated range holds, once."""
        nodes = frozenset(n for n in kernel.online_nodes if kernel.node_present(n))
        return move_out(self, nodes, start, end)

    def put_back(self, start: int, end: int) -> None:
        """Undo the isolation; what was migrated stays where it went."""
        unisolate(self, start, end)

    def leave(self, start: int, end: int) -> None:
        """Take an isolated range without content from its zone."""
        remove_range(self, start, end)

    def enter(self, kernel: Kernel, node: NodeId, zone: ZoneType, start: int, end: int) -> None:
        """Hand the frames of a block that comes online to its zone, at the tail of the lists."""
        enter(kernel, self.area(node, zone), start, end)

    def refresh(self, kernel: Kernel) -> None:
        """Take over marks and zonelists after a change of what is online."""
        refresh(kernel, self)
