"""Which blocks of a snapshot a target means."""

from collections.abc import Iterable

from memhp.core.errors import ContactLost, NoSuchObject
from memhp.core.geometry import BlockId
from memhp.core.snapshot import Device, MemoryBlock, Snapshot
from memhp.core.targets import Addresses, Amount, Blocks, DeviceTarget, NodeTarget, Target


def blocks_meant(targets: Iterable[Target], snapshot: Snapshot) -> tuple[MemoryBlock, ...]:
    """The blocks of all targets, ascending, each once; raises ``NoSuchObject``.

    An amount means no block in particular and is left to the planner.
    """
    by_number = {block.block: block for block in snapshot.blocks}
    wanted: set[BlockId] = set()
    for target in targets:
        wanted |= set(_numbers(target, snapshot, by_number))
    return tuple(by_number[number] for number in sorted(wanted))


def device_meant(name: str, snapshot: Snapshot) -> Device:
    """The device of this name; raises ``NoSuchObject``."""
    for device in snapshot.devices:
        if device.name == name:
            return device
    known = ", ".join(device.name for device in snapshot.devices) or "none"
    raise NoSuchObject(
        machine=snapshot.machine, name=f"device '{name}'", advice=f"its devices are: {known}"
    )


def _numbers(
    target: Target, snapshot: Snapshot, by_number: dict[BlockId, MemoryBlock]
) -> Iterable[BlockId]:
    match target:
        case Blocks(blocks=numbers):
            for number in numbers:
                if number not in by_number:
                    raise _missing(snapshot, f"memory{number}")
            return numbers
        case Addresses(range=wanted):
            touched = wanted.blocks_touched(snapshot.block_size_bytes)
            found = [number for number in by_number if number in touched]
        case NodeTarget(node=node):
            found = [b.block for b in snapshot.blocks if node in b.nodes]
        case DeviceTarget(name=name):
            device = device_meant(name, snapshot)
            touched_by = [r.blocks_touched(snapshot.block_size_bytes) for r in device.ranges]
            found = [n for n in by_number if any(n in touched for touched in touched_by)]
        case Amount():
            return ()
    if not found and not snapshot.blocks:
        raise ContactLost(
            machine=snapshot.machine,
            problem="does not tell how its memory blocks stand",
            advice="see that it runs, and its guest agent in it",
        )
    if not found:
        raise _missing(snapshot, f"memory block in {target}")
    return found


def _missing(snapshot: Snapshot, name: str) -> NoSuchObject:
    return NoSuchObject(
        machine=snapshot.machine, name=name, advice="see 'memhp ls' for the blocks that it has"
    )
