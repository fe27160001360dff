"""What a journal holds, record by record, and the operation that they add up to."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Union

from memhp.core.outcome import Outcome
from memhp.core.plan import Plan
from memhp.core.request import Apply, Conditions, Move, Request, Undo
from memhp.core.words import Ending
from memhp.operations.operation import Leg, Operation, Things

VERSION = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """A machine that an operation is about.

    ``name`` is what its steps carry, ``address`` the same from any folder, and
    ``identity`` is another after every boot.
    """

    name: str
    address: str
    identity: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """The first record: what was asked for, of which machines, when (UTC, ISO 8601)."""

    version: int
    time: str
    machines: tuple[Bound, ...]
    request: Request
    conditions: Conditions
    goal: Things = field(default_factory=dict)

    @property
    def addresses(self) -> str:
        """The machines' addresses, for a person."""
        return " ".join(bound.address for bound in self.machines)


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A leg: its plan, and what it touches as that was before."""

    plan: Plan
    before: Things
    back: bool
    to_the_end: bool = False
    settles: bool = False


def planned(leg: Leg) -> Planned:
    """The record of a leg of which nothing was asked for yet."""
    return Planned(
        plan=leg.plan,
        before=leg.before,
        back=leg.back,
        to_the_end=leg.to_the_end,
        settles=leg.settles,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Intended:
    """The step of this index in the last leg is about to be asked for."""

    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The step of this index has its outcome; ``found`` where it was read back."""

    index: int
    outcome: Outcome
    found: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """The last step asked for had no answer, and has one now."""

    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """Nothing is left to do. What waits for an answer is not finished."""

    ending: Ending
    time: str


Record = Union[Begun, Planned, Intended, Ended, Answered, Finished]  # noqa: UP007 - read at run time


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """A journal as far as it goes.

    ``intent`` is the index of the last step that was about to be asked for and has
    no outcome. It may have been done or not, and so may those before it that
    have none either: they were asked for in one run.
    """

    begun: Begun
    operation: Operation
    intent: int | None = None
    finished: Finished | None = None


def story_of(records: Iterable[Record]) -> Story:
    """Fold records; raises ``ValueError`` where they are in no order that memhp writes."""
    story: Story | None = None
    for record in records:
        if isinstance(record, Begun):
            if story is not None:
                raise ValueError("it begins twice")
            _check_machines(record)
            story = Story(
                begun=record,
                operation=Operation(
                    request=record.request, conditions=record.conditions, goal=record.goal
                ),
            )
        elif story is None:
            raise ValueError("its beginning is missing")
        else:
            story = _next(story, record)
    if story is None:
        raise ValueError("it is empty")
    return story


def _check_machines(begun: Begun) -> None:
    """Raise ``ValueError`` where a request cannot be about these machines."""
    names = {bound.name for bound in begun.machines}
    match begun.request:
        case Move(giver=giver, taker=taker):
            fits = names == {giver, taker}
        case Apply() | Undo():
            fits = bool(names)
        case _:
            fits = len(names) == 1
    if not fits or len(names) != len(begun.machines) or not begun.goal.keys() <= names:
        raise ValueError("its machines are not those of its request")


def _next(story: Story, record: Planned | Intended | Ended | Answered | Finished) -> Story:
    operation = story.operation
    match record:
        case Planned():
            named = {step.machine for step in record.plan.steps} | record.before.keys()
            if not named <= {bound.name for bound in story.begun.machines}:
                raise ValueError("a step is about a machine that the operation is not")
            leg = Leg(
                plan=record.plan,
                before=record.before,
                back=record.back,
                to_the_end=record.to_the_end,
                settles=record.settles,
            )
            return replace(story, operation=operation.with_leg(leg), intent=None)
        case Answered(outcome=outcome):
            if operation.unanswered() is None:
                raise ValueError("an answer has no question")
            leg = operation.legs[-1].with_answer(outcome)
            return replace(story, operation=operation.with_last(leg))
        case Finished():
            return replace(story, finished=record)
    if not operation.legs:
        raise ValueError("a step has no plan")
    leg = operation.legs[-1]
    done, intent = len(leg.outcomes), story.intent
    if isinstance(record, Intended):
        latest = done if intent is None else intent + 1
        if not done <= record.index <= latest or record.index >= len(leg.plan.steps):
            raise ValueError(f"step {record.index} is out of order")
        return replace(story, intent=max(record.index, -1 if intent is None else intent))
    if record.index != done or done >= len(leg.plan.steps):
        raise ValueError(f"step {record.index} is out of order")
    further = leg.with_outcome(record.outcome)
    waits = intent is not None and intent > record.index and not further.ended
    return replace(story, operation=operation.with_last(further), intent=intent if waits else None)
