"""Memory blocks as a snapshot has them, from the files of each."""

from collections.abc import Iterator, Mapping

from memhp.core.errors import MachineError
from memhp.core.geometry import BlockId, NodeId
from memhp.core.listing import BlockFile, BlockRun
from memhp.core.snapshot import MemoryBlock
from memhp.core.words import BlockState, ZoneType
from memhp.machines.linux.block_nodes import nodes_of_blocks
from memhp.machines.linux.list_blocks import list_blocks
from memhp.machines.linux.root import MEMORY, Root


def read_blocks(root: Root, owners: Mapping[int, str]) -> tuple[MemoryBlock, ...]:
    """Every block; ``owners`` are devices by block number.

    Raises ``MachineError``, also for a state that no kernel prints.
    """
    listing = list_blocks(root, BlockFile.STATE | BlockFile.ZONES)
    numbers = [n for run in listing.runs for n in range(run.first, run.first + run.nr_blocks)]
    nodes = nodes_of_blocks(root, numbers)
    return tuple(block for run in listing.runs for block in _blocks(root, run, nodes, owners))


def _blocks(
    root: Root, run: BlockRun, nodes: Mapping[int, tuple[int, ...]], owners: Mapping[int, str]
) -> Iterator[MemoryBlock]:
    state = _state(root, run)
    words = run.zones or ()
    zone = None
    if state is not BlockState.OFFLINE and len(words) == 1 and words[0] in set(ZoneType):
        zone = ZoneType(words[0])
    for number in range(run.first, run.first + run.nr_blocks):
        yield MemoryBlock(
            block=BlockId(number),
            state=state,
            zone=zone,
            nodes=tuple(NodeId(node) for node in nodes.get(number, ())),
            valid_zones=words,
            device=owners.get(number),
        )


def _state(root: Root, run: BlockRun) -> BlockState:
    if run.state in set(BlockState):
        return BlockState(run.state)
    path = root.path(f"{MEMORY}/memory{run.first}/state")
    read = f"reads '{run.state[:40]}'" if run.state else "is empty or cannot be read"
    raise MachineError(
        machine=root.name,
        problem=f"has a memory block of no known state: {path} {read}",
        advice="'memhp ls' lists it all the same",
    )
