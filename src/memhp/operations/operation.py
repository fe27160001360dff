"""An operation as far as it has come: the request, and every leg with its outcomes.

Everything here is a value. What comes next follows from it and fresh
snapshots alone (``next_leg.py``), so going on after a kill is the same as going
on. What is touched is kept by machine, for a request may be about several.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from memhp.core.geometry import KIB
from memhp.core.outcome import Done, Outcome, Refused, Unanswered
from memhp.core.plan import (
    AddDevice,
    AwaitDevice,
    CompactNode,
    DropCaches,
    HoldHugePages,
    OfflineBlock,
    OnlineBlock,
    Plan,
    RemoveDevice,
    ResizeDevice,
    Step,
    touched_by,
)
from memhp.core.request import Conditions, Request
from memhp.core.snapshot import Device, MemoryBlock, Snapshot, Snapshots
from memhp.core.surroundings import HugePool
from memhp.core.words import DeviceKind, Preparation

Thing = MemoryBlock | Device | HugePool
"""What can be touched: a block, a device, a pool of huge pages, as a snapshot has it."""
Things = Mapping[str, tuple[Thing, ...]]
"""Things of several machines, by the machines' names."""
Key = tuple[str, str]
"""What identifies a block or a device among several machines: the machine's name, and its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """A plan within an operation, what it touches as that was before, and what came of it.

    ``back`` tells that it puts back what earlier legs have done, and ``settles``
    what they have prepared; ``to_the_end`` that the deadline does not keep it
    from ending what is half done.
    ``outcomes`` are those of the first steps, in order; the others were not
    asked for. ``pause_seconds`` is waited for before it.
    """

    plan: Plan
    before: Things
    back: bool = False
    to_the_end: bool = False
    settles: bool = False
    outcomes: tuple[Outcome, ...] = ()
    pause_seconds: float = 0.0

    @property
    def ended(self) -> bool:
        """Whether nothing of it is left to ask for: all is done, or something was not."""
        stopped = any(not isinstance(outcome, Done) for outcome in self.outcomes)
        return stopped or len(self.outcomes) == len(self.plan.steps)

    @property
    def went_well(self) -> bool:
        """Whether everything that was asked for was done."""
        return all(isinstance(outcome, Done) for outcome in self.outcomes)

    def results(self) -> Iterator[tuple[Step, Outcome]]:
        """Each step that was asked for, with its outcome."""
        return zip(self.plan.steps, self.outcomes, strict=False)

    def with_outcome(self, outcome: Outcome) -> "Leg":
        """The leg one step further."""
        return replace(self, outcomes=(*self.outcomes, outcome))

    def with_outcomes(self, outcomes: Iterable[Outcome]) -> "Leg":
        """The leg some steps further."""
        return replace(self, outcomes=(*self.outcomes, *outcomes))

    def with_answer(self, outcome: Outcome) -> "Leg":
        """The leg with a late answer in place of its last outcome."""
        return replace(self, outcomes=(*self.outcomes[:-1], outcome))


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A request on one machine or several, and its legs so far.

    ``goal`` is the state to put back where the request is an ``Undo``.
    """

    request: Request
    conditions: Conditions = field(default_factory=Conditions)
    legs: tuple[Leg, ...] = ()
    goal: Things = field(default_factory=dict)

    def forward(self) -> Iterator[Leg]:
        """The legs towards what was asked for."""
        return (leg for leg in self.legs if not leg.back and not leg.settles)

    def done_steps(self) -> Iterator[Step]:
        """Every step of the forward legs that was done."""
        for leg in self.forward():
            yield from (step for step, outcome in leg.results() if isinstance(outcome, Done))

    def refused_steps(self) -> Iterator[Step]:
        """Every step of the forward legs that was not done."""
        for leg in self.forward():
            yield from (step for step, out in leg.results() if not isinstance(out, Done))

    def has_done(self, action: type[AddDevice | RemoveDevice]) -> bool:
        """Whether a forward leg has done such a step."""
        return any(isinstance(step.action, action) for step in self.done_steps())

    def unanswered(self) -> Step | None:
        """The step that waits for its answer. Nothing was asked for after it."""
        for step, outcome in self.legs[-1].results() if self.legs else ():
            if isinstance(outcome, Unanswered):
                return step
        return None

    def has_to_end(self) -> bool:
        """Whether the machine was found to be in no state for anything more."""
        return any(
            isinstance(outcome, Refused) and outcome.ends_run
            for leg in self.legs
            for outcome in leg.outcomes
        )

    def waits_for_a_person(self) -> bool:
        """Whether the step that waits is one that a person does."""
        step = self.unanswered()
        return step is not None and isinstance(step.action, AwaitDevice)

    def before(self) -> Things:
        """Everything touched, as it was before the first leg that touched it.

        Blocks that came with a device which an earlier leg had touched are no
        part of it: they come and go with that.
        """
        found: dict[str, dict[str, Thing]] = {}
        for leg in self.legs:
            for machine, things in leg.before.items():
                mine = found.setdefault(machine, {})
                known = frozenset(mine)
                for thing in things:
                    if not _came_along(thing, known):
                        mine.setdefault(key_of(thing), thing)
        return {machine: tuple(mine.values()) for machine, mine in found.items()}

    @property
    def wants_pools(self) -> bool:
        """Whether pools of huge pages have to be looked at, to go on or to go back."""
        touched = (
            thing
            for things in (self.before(), self.goal)
            for mine in things.values()
            for thing in mine
        )
        hugepages = Preparation.HUGEPAGES in self.conditions.prepare
        return hugepages or any(isinstance(thing, HugePool) for thing in touched)

    def with_leg(self, leg: Leg) -> "Operation":
        """The operation with one more leg."""
        return replace(self, legs=(*self.legs, leg))

    def with_last(self, leg: Leg) -> "Operation":
        """The operation with its last leg further on."""
        return replace(self, legs=(*self.legs[:-1], leg))


def _came_along(thing: Thing, known: frozenset[str]) -> bool:
    return isinstance(thing, MemoryBlock) and thing.device in known


def before_of(plan: Plan, snapshots: Snapshots) -> Things:
    """What a plan touches, as it is before it; a device that is yet to be made is absent."""
    return {
        name: _before(tuple(s for s in plan.steps if s.machine == name), snapshot)
        for name, snapshot in snapshots.items()
        if any(step.machine == name for step in plan.steps)
    }


def _before(steps: tuple[Step, ...], snapshot: Snapshot) -> tuple[Thing, ...]:
    known = {device.name for device in snapshot.devices}
    new = (
        Device(
            name=step.action.device,
            kind=DeviceKind.DIMM,
            size_bytes=step.action.size_bytes or 0,
            node=step.action.node,
            present=False,
        )
        for step in steps
        if isinstance(step.action, AddDevice) and step.action.device not in known
    )
    return (*touched_by(steps, snapshot), *new, *_pools(steps, snapshot))


def _pools(steps: tuple[Step, ...], snapshot: Snapshot) -> Iterator[HugePool]:
    """Every node's pool of a size that a step is about: the kernel moves pages among them."""
    sizes = {s.action.size_bytes for s in steps if isinstance(s.action, HoldHugePages)}
    return (p for p in snapshot.surroundings.huge_pools if p.size_bytes in sizes)


def key_of(thing: Thing) -> str:
    """What identifies a block, a device or a pool on its machine."""
    return f"memory{thing.block}" if isinstance(thing, MemoryBlock) else thing.name


def refused_in(legs: Iterable[Leg]) -> frozenset[Key]:
    """What did not do as its step wanted."""
    return frozenset(
        (step.machine, key_of_step(step))
        for leg in legs
        for step, outcome in leg.results()
        if not isinstance(outcome, Done)
    )


def key_of_step(step: Step) -> str:
    """What identifies the block or device that a step is about."""
    match step.action:
        case OnlineBlock(block=number) | OfflineBlock(block=number):
            return f"memory{number}"
        case AddDevice(device=name) | RemoveDevice(device=name) | ResizeDevice(device=name):
            return name
        case AwaitDevice(device=name):
            return name
        case CompactNode(node=node):
            return f"node{node}"
        case DropCaches():
            return "caches"
        case HoldHugePages(node=node, size_bytes=size):
            return f"node{node}/hugepages-{size // KIB}kB"


def things_of(snapshot: Snapshot) -> dict[str, Thing]:
    """What a snapshot has by key, to look many of them up."""
    pools = snapshot.surroundings.huge_pools
    things: tuple[Thing, ...] = (*snapshot.blocks, *snapshot.devices, *pools)
    return {key_of(thing): thing for thing in things}


def block_of(step: Step) -> int | None:
    """The block that a step is about, if it is about one."""
    match step.action:
        case OnlineBlock(block=number) | OfflineBlock(block=number):
            return number
    return None


def holds_huge_pages(plan: Plan) -> bool:
    """Whether a plan changes pools of huge pages."""
    return any(isinstance(step.action, HoldHugePages) for step in plan.steps)


def the_only(snapshots: Snapshots) -> Snapshot:
    """The snapshot of the one machine that a request is about."""
    [snapshot] = snapshots.values()
    return snapshot
