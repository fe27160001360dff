"""The modelled machine's blocks for a lister: what their files read, run by run."""

from collections.abc import Iterator

from memhp.core.listing import BlockFile, BlockRun, Listing
from memhp.core.words import BlockState
from memhp.model.blocks import Block
from memhp.model.kernel import Kernel
from memhp.model.runs import Run
from memhp.model.zone_choice import valid_zones


def list_blocks(kernel: Kernel, want: BlockFile) -> Listing:
    """List the blocks; cost follows the differences between them.

    As ``lsmem`` sees the files: nodes count where the first block has one,
    zones where ``memory0`` has the file.
    """
    has_nodes = BlockFile.NODE in want and any(run.value.links for run in list(kernel.blocks)[:1])
    has_zones = BlockFile.ZONES in want and kernel.profile.valid_zones_file and 0 in kernel.blocks
    runs = [
        BlockRun(
            first=part.start,
            nr_blocks=part.end - part.start,
            state=run.value.state.value,
            removable=kernel.profile.hot_remove,
            node=(run.value.links[0] if run.value.links else -1) if has_nodes else None,
            zones=part.value,
        )
        for run in kernel.blocks
        for part in _by_zones(kernel, run, has_zones=has_zones)
    ]
    return Listing(block_size_bytes=kernel.block_size_bytes, runs=runs)


def _by_zones(
    kernel: Kernel, run: Run[Block], *, has_zones: bool
) -> Iterator[Run[tuple[str, ...] | None]]:
    """Part a run where ``valid_zones`` changes: only for blocks that could go somewhere."""
    if not has_zones:
        yield Run(run.start, run.end, None)
        return
    if run.value.state is BlockState.ONLINE:
        yield Run(run.start, run.end, valid_zones(kernel, run.start, run.value))
        return
    start, words = run.start, valid_zones(kernel, run.start, run.value)
    for number in range(run.start + 1, run.end):
        here = valid_zones(kernel, number, run.value)
        if here != words:
            yield Run(start, number, words)
            start, words = number, here
    yield Run(start, run.end, words)
