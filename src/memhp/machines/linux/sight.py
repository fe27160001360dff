"""What is looked at while a block of a Linux machine goes offline."""

from memhp.machines.linux.list_blocks import read_block_size
from memhp.machines.linux.pages_left import read_pages_left, read_pages_migrated
from memhp.machines.linux.pressure import read_pressure
from memhp.machines.linux.root import Root
from memhp.machines.linux.watched_write import Sight


def sight_of(root: Root, block: int) -> Sight:
    """The machine's own files; raises ``MachineError`` where it has no memory blocks."""
    size_bytes = read_block_size(root)
    return Sight(
        left=lambda: read_pages_left(root, block, size_bytes),
        moved=lambda: read_pages_migrated(root),
        pressure=lambda: read_pressure(root),
    )
