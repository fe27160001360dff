"""What is looked at while a block of a Linux machine goes offline."""

import time

from memhp.core.listing import BlockFile
from memhp.core.words import BlockState
from memhp.machines.linux.list_blocks import list_blocks, read_block_size
from memhp.machines.linux.pages_left import read_pages_left, read_pages_migrated
from memhp.machines.linux.pressure import read_pressure
from memhp.machines.linux.root import Root
from memhp.machines.linux.watched_write import Sight

_LOOK_EVERY = 0.05


def sight_of(root: Root, block: int) -> Sight:
    """The machine's own files; raises ``MachineError`` where it has no memory blocks."""
    size_bytes = read_block_size(root)
    return Sight(
        left=lambda: read_pages_left(root, block, size_bytes),
        moved=lambda: read_pages_migrated(root),
        pressure=lambda: read_pressure(root),
    )


def wait_for_blocks_on_their_way(root: Root, seconds: float) -> bool:
    """Wait until no block is going offline; tells whether that came to be in time."""
    until = time.monotonic() + seconds
    while _is_any_on_its_way(root):
        if time.monotonic() >= until:
            return False
        time.sleep(_LOOK_EVERY)
    return True


def _is_any_on_its_way(root: Root) -> bool:
    runs = list_blocks(root, BlockFile.STATE).runs
    return any(run.state == BlockState.GOING_OFFLINE for run in runs)
