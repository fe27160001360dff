"""An operation as far as it has come: the request, and every leg with its outcomes.

Everything here is a value. What comes next follows from it and a fresh
snapshot alone (``next_leg.py``), so going on after a kill is the same as going
on.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from memhp.core.outcome import Done, Outcome
from memhp.core.plan import (
    AddDevice,
    OfflineBlock,
    OnlineBlock,
    Plan,
    RemoveDevice,
    ResizeDevice,
    Step,
    touched_by,
)
from memhp.core.request import Conditions, Request
from memhp.core.snapshot import Device, MemoryBlock, Snapshot
from memhp.core.words import DeviceKind

Thing = MemoryBlock | Device
"""What can be touched: a block or a device, as a snapshot has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """A plan within an operation, what it touches as that was before, and what came of it.

    ``back`` tells that it puts back what earlier legs have done. ``outcomes``
    are those of the first steps, in order; the others were not asked for.
    """

    plan: Plan
    before: tuple[Thing, ...]
    back: bool = False
    outcomes: tuple[Outcome, ...] = ()

    @property
    def ended(self) -> bool:
        """Whether nothing of it is left to ask for: all is done, or something was not."""
        stopped = any(not isinstance(outcome, Done) for outcome in self.outcomes)
        return stopped or len(self.outcomes) == len(self.plan.steps)

    def results(self) -> Iterator[tuple[Step, Outcome]]:
        """Each step that was asked for, with its outcome."""
        return zip(self.plan.steps, self.outcomes, strict=False)

    def with_outcome(self, outcome: Outcome) -> "Leg":
        """The leg one step further."""
        return replace(self, outcomes=(*self.outcomes, outcome))


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A request on one machine, and its legs so far.

    ``goal`` is the state to put back where the request is an ``Undo``.
    """

    request: Request
    conditions: Conditions = field(default_factory=Conditions)
    legs: tuple[Leg, ...] = ()
    goal: tuple[Thing, ...] = ()

    def forward(self) -> Iterator[Leg]:
        """The legs towards what was asked for."""
        return (leg for leg in self.legs if not leg.back)

    def done_steps(self) -> Iterator[Step]:
        """Every step of the forward legs that was done."""
        for leg in self.forward():
            yield from (step for step, outcome in leg.results() if isinstance(outcome, Done))

    def refused_steps(self) -> Iterator[Step]:
        """Every step of the forward legs that was not done."""
        for leg in self.forward():
            yield from (step for step, out in leg.results() if not isinstance(out, Done))

    def before(self) -> tuple[Thing, ...]:
        """Everything touched, as it was before the first leg that touched it."""
        found: dict[str, Thing] = {}
        for leg in self.legs:
            for thing in leg.before:
                found.setdefault(key_of(thing), thing)
        return tuple(found.values())

    def with_leg(self, leg: Leg) -> "Operation":
        """The operation with one more leg."""
        return replace(self, legs=(*self.legs, leg))

    def with_last(self, leg: Leg) -> "Operation":
        """The operation with its last leg further on."""
        return replace(self, legs=(*self.legs[:-1], leg))


def before_of(plan: Plan, snapshot: Snapshot) -> tuple[Thing, ...]:
    """What a plan touches, as it is before it; a device that is yet to be made is absent."""
    known = {device.name for device in snapshot.devices}
    new = (
        Device(
            name=step.action.device,
            kind=DeviceKind.DIMM,
            size_bytes=step.action.size_bytes or 0,
            node=step.action.node,
            present=False,
        )
        for step in plan.steps
        if isinstance(step.action, AddDevice) and step.action.device not in known
    )
    return (*touched_by(plan.steps, snapshot), *new)


def key_of(thing: Thing) -> str:
    """What identifies a block or a device."""
    return f"memory{thing.block}" if isinstance(thing, MemoryBlock) else thing.name


def refused_in(legs: Iterable[Leg]) -> frozenset[str]:
    """What did not do as its step wanted, by the keys of ``key_of()``."""
    return frozenset(
        key_of_step(step)
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


def things_of(snapshot: Snapshot) -> dict[str, Thing]:
    """The blocks and devices of a snapshot by key, to look many of them up."""
    things: tuple[Thing, ...] = (*snapshot.blocks, *snapshot.devices)
    return {key_of(thing): thing for thing in things}


def block_of(step: Step) -> int | None:
    """The block that a step is about, if it is about one."""
    match step.action:
        case OnlineBlock(block=number) | OfflineBlock(block=number):
            return number
    return None
