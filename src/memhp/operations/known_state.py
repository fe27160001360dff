"""Whether a machine is as an operation found it, or as it left it: only then is undoing safe."""

from collections.abc import Iterator

from memhp.core.errors import JournalError
from memhp.core.plan import AddDevice, OfflineBlock, OnlineBlock, RemoveDevice
from memhp.core.snapshot import Device, MemoryBlock, Snapshot
from memhp.core.words import BlockState, ExitCode, OnlineType, ZoneType
from memhp.operations.operation import Operation, Thing

_Standing = tuple[BlockState, ZoneType | None]


def check_known(name: str, operation: Operation, snapshot: Snapshot) -> None:
    """Raise ``JournalError`` where something touched is neither as before nor as it was left."""
    for thing in operation.before():
        problem = _problem(thing, operation, snapshot)
        if problem is not None:
            raise JournalError(
                operation=f"operation {name}",
                problem=f"cannot be undone: {problem}, and it was not left so",
                advice="somebody has changed it since; put it back by hand, or leave it",
                exit_code=ExitCode.STALE,
            )


def _problem(thing: Thing, operation: Operation, snapshot: Snapshot) -> str | None:
    if isinstance(thing, Device):
        return None
    if thing.device is not None and _device_moved(thing.device, operation):
        # What came with an added device comes online by policy, and goes with it.
        return None
    block = next((b for b in snapshot.blocks if b.block == thing.block), None)
    if block is None:
        return f"memory{thing.block} is gone"
    allowed = set(_standings(thing, operation))
    if _shown(block) in allowed or _any_zone(block, thing, operation):
        return None
    where = "" if block.zone is None else f" in {block.zone}"
    return f"memory{block.block} is {block.state}{where}"


def _standings(thing: MemoryBlock, operation: Operation) -> Iterator[_Standing]:
    """How a block stood before, and after each step that was about it."""
    yield _shown(thing)
    for leg in operation.legs:
        for step in leg.plan.steps[: len(leg.outcomes) + 1]:
            match step.action:
                case OfflineBlock(block=number) if number == thing.block:
                    yield BlockState.OFFLINE, None
                case OnlineBlock(block=number, online_type=word) if number == thing.block:
                    if word is OnlineType.ONLINE_MOVABLE:
                        yield BlockState.ONLINE, ZoneType.MOVABLE


def _any_zone(block: MemoryBlock, thing: MemoryBlock, operation: Operation) -> bool:
    """A block that was brought online by a word that leaves the zone to the kernel."""
    words = {
        step.action.online_type
        for leg in operation.legs
        for step in leg.plan.steps[: len(leg.outcomes) + 1]
        if isinstance(step.action, OnlineBlock) and step.action.block == thing.block
    }
    if block.state is not BlockState.ONLINE:
        return False
    kernel_zone = block.zone is not None and block.zone.holds_kernel_memory
    return OnlineType.ONLINE in words or (OnlineType.ONLINE_KERNEL in words and kernel_zone)


def _device_moved(name: str, operation: Operation) -> bool:
    return any(
        isinstance(step.action, AddDevice | RemoveDevice) and step.action.device == name
        for leg in operation.legs
        for step in leg.plan.steps[: len(leg.outcomes) + 1]
    )


def _shown(block: MemoryBlock) -> _Standing:
    return block.state, block.zone
