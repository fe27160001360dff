"""What a plan does to the memory of one machine: what goes, what comes, which nodes shrink."""

from collections import Counter
from dataclasses import dataclass

from memhp.core.geometry import NodeId
from memhp.core.plan import OfflineBlock, OnlineBlock, Plan, RemoveDevice
from memhp.core.snapshot import MemoryBlock, Snapshot
from memhp.core.words import BlockState, OnlineType, ZoneType


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a plan does to one machine: blocks that go, and that come with the zone's word."""

    snapshot: Snapshot
    goes: tuple[MemoryBlock, ...]
    comes: tuple[tuple[MemoryBlock, OnlineType], ...]

    @property
    def taken(self) -> Counter[tuple[NodeId, ZoneType]]:
        """Bytes that go, by node and zone."""
        size = self.snapshot.block_size_bytes
        taken: Counter[tuple[NodeId, ZoneType]] = Counter()
        for block in self.goes:
            if block.node is not None and block.zone is not None:
                taken[block.node, block.zone] += size
        return taken

    @property
    def shrinking(self) -> tuple[NodeId, ...]:
        """The nodes that lose memory."""
        return tuple(sorted({block.node for block in self.goes if block.node is not None}))

    @property
    def memory_nodes(self) -> tuple[NodeId, ...]:
        """The nodes that have memory now."""
        return tuple(sorted({b.node for b in online_blocks(self.snapshot) if b.node is not None}))

    def targets_of(self, node: NodeId) -> tuple[NodeId, ...]:
        """Where the kernel moves a node's pages: to the others, or within it where it is alone.

        Never within it while another has memory, full or not (``do_migrate_range()``).
        """
        return tuple(n for n in self.memory_nodes if n != node) or (node,)

    def is_emptied(self, node: NodeId) -> bool:
        """Whether nothing of a node stays online."""
        going = {block.block for block in self.goes}
        return all(b.block in going for b in online_blocks(self.snapshot) if node in b.nodes)


def change_of(plan: Plan, machine: str, snapshot: Snapshot) -> Change:
    """Find out what a plan does to a machine."""
    by_number = {block.block: block for block in snapshot.blocks}
    goes, comes = {}, []
    for step in plan.steps:
        match step.action:
            case OfflineBlock(block=number) if step.machine == machine and number in by_number:
                goes[number] = by_number[number]
            case OnlineBlock(block=number, online_type=word) if (
                step.machine == machine and number in by_number
            ):
                comes.append((by_number[number], word))
            case RemoveDevice(device=name) if step.machine == machine:
                goes |= {b.block: b for b in online_blocks(snapshot) if b.device == name}
    return Change(snapshot=snapshot, goes=tuple(goes.values()), comes=tuple(comes))


def online_blocks(snapshot: Snapshot) -> list[MemoryBlock]:
    """The blocks that the kernel uses, or has not let go of yet."""
    return [block for block in snapshot.blocks if block.state is not BlockState.OFFLINE]
