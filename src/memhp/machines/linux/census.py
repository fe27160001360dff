"""The census of a Linux machine's blocks: of those that are online, what they show."""

from collections.abc import Callable, Sequence

from memhp.core.census import BlockCensus, PageKind
from memhp.core.errors import NoSuchObject
from memhp.core.geometry import BlockId, pages_of
from memhp.core.listing import BlockFile
from memhp.core.owners import CountedTwice
from memhp.core.words import BlockState, ZoneType
from memhp.machines.linux.blocks import read_blocks
from memhp.machines.linux.list_blocks import list_blocks
from memhp.machines.linux.read_census import See, read_census
from memhp.machines.linux.root import Root


def count_blocks(
    root: Root, blocks: Sequence[BlockId], see: See | None = None
) -> dict[BlockId, BlockCensus]:
    """Count the pages of blocks; raises ``NoSuchObject`` and ``MachineError``.

    Pages of a block that is not online are nobody's, and the kernel shows
    nothing of them: they count as free. ``see`` is shown the others.
    """
    listing = list_blocks(root, BlockFile.STATE)
    pages_per_block = pages_of(listing.block_size_bytes)
    states = {
        number: run.state
        for run in listing.runs
        for number in range(run.first, run.first + run.nr_blocks)
    }
    for block in blocks:
        if block not in states:
            raise NoSuchObject(
                machine=root.name, name=f"memory{block}", advice="see 'memhp ls' for its blocks"
            )
    shown = [block for block in blocks if states[block] != BlockState.OFFLINE]
    counted = read_census(root, shown, pages_per_block, see)
    idle = {PageKind.FREE: pages_per_block}
    return {block: counted.get(block) or BlockCensus(block=block, pages=idle) for block in blocks}


def count_twice(
    root: Root, blocks: Sequence[BlockId], *, pause: Callable[[float], None]
) -> CountedTwice:
    """Count them, and look again at pages that could not be told; raises as ``count_blocks()``.

    Whoever counts a whole machine has no use for that: it takes as long again.
    """
    from memhp.machines.linux.second_look import Doubts  # noqa: PLC0415 - numpy loads slowly

    doubts = Doubts()
    first = count_blocks(root, blocks, doubts.see)
    movable = [b.block for b in read_blocks(root, {}) if b.zone is ZoneType.MOVABLE]
    look = doubts.look_again(root, movable, pause)
    return CountedTwice(
        counted={block: look.applied(census) for block, census in first.items()},
        notes=look.notes(),
    )
