"""Whether a machine is as an operation found it, or as it left it: only then is undoing safe."""

from collections.abc import Iterator, Mapping, Sequence

from memhp.core.errors import JournalError
from memhp.core.plan import Action, HoldHugePages, OfflineBlock, OnlineBlock, huge_pages
from memhp.core.snapshot import Device, MemoryBlock, Snapshots
from memhp.core.surroundings import HugePool
from memhp.core.words import BlockState, ExitCode, OnlineType, ZoneType
from memhp.operations.journal_records import Story
from memhp.operations.operation import Thing, key_of, key_of_step, things_of

_Standing = tuple[BlockState, ZoneType | None]
_Asked = Mapping[str, Sequence[Action]]
"""What was asked of each block and device, by its key."""


def check_known(name: str, story: Story, snapshots: Snapshots) -> None:
    """Raise ``JournalError`` where something touched is neither as before nor as it was left."""
    for machine, things in story.operation.before().items():
        if machine in snapshots:
            now, asked = things_of(snapshots[machine]), _asked(story, machine)
            for thing in things:
                if not isinstance(thing, HugePool):
                    _check(name, _problem(thing, asked, now))
                elif story.finished is not None:
                    _check(name, _problem_of_pool(thing, asked, now.get(thing.name)))


def _check(name: str, problem: str | None) -> None:
    if problem is not None:
        raise JournalError(
            operation=f"operation {name}",
            problem=f"cannot be undone: {problem}, and it was not left so",
            advice="somebody has changed it since; put it back by hand, or leave it",
            exit_code=ExitCode.STALE,
        )


def _asked(story: Story, machine: str) -> _Asked:
    """Every step with an outcome, and those that may have been asked for without."""
    found: dict[str, list[Action]] = {}
    for leg in story.operation.legs:
        intent = story.intent if leg is story.operation.legs[-1] else None
        asked = len(leg.outcomes) if intent is None else intent + 1
        for step in leg.plan.steps[:asked]:
            if step.machine == machine:
                found.setdefault(key_of_step(step), []).append(step.action)
    return found


def _problem_of_pool(was: HugePool, asked: _Asked, now: Thing | None) -> str | None:
    """What was asked of a pool, or less where only the kernel moved its pages."""
    if not isinstance(now, HugePool):
        return None
    counts = [a.count for a in asked.get(was.name, ()) if isinstance(a, HoldHugePages)]
    least = min((was.held, *counts)) if counts else 0
    if least <= now.held <= max((was.held, *counts)):
        return None
    return f"node{now.node} holds {huge_pages(now.held, now.size_bytes)}"


def _problem(thing: MemoryBlock | Device, asked: _Asked, now: Mapping[str, Thing]) -> str | None:
    if isinstance(thing, Device):
        return None
    if thing.device in asked:
        # What came with an added device comes online by policy, and goes with it.
        return None
    block = now.get(key_of(thing))
    if not isinstance(block, MemoryBlock):
        return f"memory{thing.block} is gone"
    actions = asked.get(key_of(thing), ())
    if _shown(block) in set(_standings(thing, actions)) or _any_zone(block, actions):
        return None
    where = "" if block.zone is None else f" in {block.zone}"
    return f"memory{block.block} is {block.state}{where}"


def _standings(thing: MemoryBlock, actions: Sequence[Action]) -> Iterator[_Standing]:
    """How a block stood before, and after each step that was about it."""
    yield _shown(thing)
    for action in actions:
        match action:
            case OfflineBlock():
                yield BlockState.OFFLINE, None
            case OnlineBlock(online_type=OnlineType.ONLINE_MOVABLE):
                yield BlockState.ONLINE, ZoneType.MOVABLE


def _any_zone(block: MemoryBlock, actions: Sequence[Action]) -> bool:
    """A block that was brought online by a word that leaves the zone to the kernel."""
    words = {action.online_type for action in actions if isinstance(action, OnlineBlock)}
    if block.state is not BlockState.ONLINE:
        return False
    kernel_zone = block.zone is not None and block.zone.holds_kernel_memory
    return OnlineType.ONLINE in words or (OnlineType.ONLINE_KERNEL in words and kernel_zone)


def _shown(block: MemoryBlock) -> _Standing:
    return block.state, block.zone
