"""Beginning, resuming and undoing operations, each under its machines' locks and in a journal."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from memhp.core.errors import JournalError
from memhp.core.events import Event, StepEnded
from memhp.core.machine import KnownOtherwise, Machine, Settling
from memhp.core.plan import Plan
from memhp.core.request import Apply, Conditions, Undo
from memhp.core.snapshot import Snapshots, Want
from memhp.core.words import Ending, ExitCode
from memhp.operations.able import check_able
from memhp.operations.converge import Note, converge, look_at, look_for
from memhp.operations.count_planned import with_planned_counted
from memhp.operations.execute import Listener, check_marks
from memhp.operations.found_again import answer_found, found_again
from memhp.operations.journal import Journal, Journals
from memhp.operations.journal_records import (
    VERSION,
    Answered,
    Begun,
    Bound,
    Planned,
    Record,
    Story,
)
from memhp.operations.known_state import check_known
from memhp.operations.late_answers import still_pending
from memhp.operations.machine_lock import lock_machines
from memhp.operations.operation import Leg, Operation, before_of, holds_huge_pages, things_of
from memhp.operations.risks import check_risks, want_for_risks
from memhp.operations.untouchable import Pending, check_touched
from memhp.operations.visible import check_visible


@dataclass(frozen=True, slots=True, kw_only=True)
class Conductor:
    """Carries operations out on machines, which are given by the names that steps carry.

    ``folder`` keeps journals and locks. Without one nothing is kept: for
    machines that do not last either. Everything may raise what planners,
    machines and the journal raise.
    """

    machines: Mapping[str, Machine]
    folder: Path | None
    listener: Listener
    until: float | None = None

    def begin(self, operation: Operation) -> Ending:
        """Carry a new operation out to its end."""
        with self._lock(str(operation.request)), self._journal(operation) as kept:
            return self._converge(operation, kept.note, kept.listen)

    def apply(self, plan: Plan, conditions: Conditions) -> Ending:
        """Carry out a saved plan, if the machines are still as they were; raises ``StalePlan``."""
        operation = Operation(request=Apply(asked=str(plan.request)), conditions=conditions)
        with self._lock(str(operation.request)), self._journal(operation) as kept:
            check_marks(plan, self.machines)
            check_able(plan, self.machines)
            pools = Want.HUGE_POOLS if holds_huge_pages(plan) else Want.NOTHING
            also = want_for_risks(plan.request) | pools
            snapshots = look_at(self.machines, operation.request, also=also)
            check_touched(plan, snapshots, self._pending())
            accepted = conditions.accept
            counted = with_planned_counted(plan, snapshots, self.machines, accepted)
            check_risks(plan, counted, accepted)
            before = before_of(plan, snapshots)
            kept.note(Planned(plan=plan, before=before, back=False))
            leg = Leg(plan=plan, before=before)
            return self._converge(operation.with_leg(leg), kept.note, kept.listen)

    def resume(self, name: str) -> Ending:
        """Go on with an operation of the journal; raises ``JournalError``."""
        journals = self._journals()
        story = journals.read(name)
        _check_open(journals, name, story)
        return self._as_named_in(story)._resume(name, story)  # noqa: SLF001 - one of its own

    def _resume(self, name: str, story: Story) -> Ending:
        journals = self._journals()
        with self._lock(f"resume {name}"):
            self._check_identities(name, story)
            with journals.reopen(name) as journal:
                kept = _Kept(journals, journal, story.begun)

                def tell(event: Event) -> None:
                    kept.listen(event)
                    self.listener(event)

                snapshots = look_for(story.operation, self.machines)
                check_visible(story.operation, snapshots)
                story = self._answered(story, snapshots, kept)
                operation = found_again(story, snapshots, tell)
                return self._converge(operation, kept.note, kept.listen, but=name)

    def undo(self, name: str, *, only: bool = False) -> Ending:
        """Put back what an operation of the journal has changed; raises ``JournalError``.

        ``only`` the machines at hand, where others that it was about are gone or
        were booted since.
        """
        story = self._journals().read(name)
        return self._as_named_in(story)._undo(name, only=only)  # noqa: SLF001 - one of its own

    def _undo(self, name: str, *, only: bool) -> Ending:
        with self._lock(f"undo {name}"):
            self._pending()
            story = self._journals().read(name)
            goal = {m: t for m, t in story.operation.before().items() if m in self.machines}
            request = Undo(operation=name, only=" ".join(self.machines) if only else None)
            operation = Operation(request=request, goal=goal)
            with self._journal(operation) as kept:
                self._check_identities(name, story, only=only)
                check_known(name, story, look_for(operation, self.machines))
                return self._converge(operation, kept.note, kept.listen)

    def _as_named_in(self, story: Story) -> "Conductor":
        """The same, with the machines by the names that the operation's steps carry.

        A machine may have been opened by another name since; its identity tells.
        """
        known = {_machine_part(machine.identity): machine for machine in self.machines.values()}
        bounds = story.begun.machines
        if len(bounds) == len(self.machines) == 1:
            [machine] = self.machines.values()
            return replace(self, machines={bounds[0].name: machine})
        named = {
            bound.name: self.machines.get(bound.name) or known.get(_machine_part(bound.identity))
            for bound in bounds
        }
        return replace(self, machines={name: m for name, m in named.items() if m is not None})

    def _converge(
        self, operation: Operation, note: Note, listen: Listener, *, but: str | None = None
    ) -> Ending:
        return converge(
            operation,
            self.machines,
            note=note,
            listeners=(listen, self.listener),
            until=self.until,
            pending=self._pending(but),
        )

    def _pending(self, but: str | None = None) -> tuple[Pending, ...]:
        """Take the answers that have come to other operations, and tell what still waits."""
        if self.folder is None:
            return ()

        def look(names: Mapping[str, str]) -> Snapshots:
            mine = {name: self.machines[here] for name, here in names.items()}
            return look_at(mine, Undo(operation=""), also=Want.HUGE_POOLS)

        identities = {name: machine.identity for name, machine in self.machines.items()}
        return still_pending(Journals(self.folder), identities, look, now(), but=but)

    def _answered(self, story: Story, snapshots: Snapshots, kept: "_Kept") -> Story:
        """The story with the answer that it waited for, if that has come."""
        step = story.operation.unanswered()
        if step is None:
            return story
        outcome = answer_found(step, things_of(snapshots[step.machine]))
        if outcome is None:
            return story
        kept.note(Answered(outcome=outcome))
        leg = story.operation.legs[-1]
        self.listener(
            StepEnded(index=len(leg.outcomes) - 1, step=step, outcome=outcome, found=True)
        )
        return replace(story, operation=story.operation.with_last(leg.with_answer(outcome)))

    def _journals(self) -> Journals:
        if self.folder is None:
            raise JournalError(
                operation=f"machine '{' '.join(self.machines)}'",
                problem="does not last, so nothing was kept of what was done to it",
                advice="make one that lasts, with 'memhp model new'",
                exit_code=ExitCode.USAGE,
            )
        return Journals(self.folder)

    @contextmanager
    def _lock(self, what: str) -> Iterator[None]:
        if self.folder is None:
            yield
            return
        identities = {name: _of_lock(machine) for name, machine in self.machines.items()}
        with lock_machines(self.folder / "locks", identities, what):
            for machine in self.machines.values():
                if isinstance(machine, Settling):
                    machine.settle()
            yield

    @contextmanager
    def _journal(self, operation: Operation) -> Iterator["_Kept"]:
        """A journal that begins with the first leg: what cannot be planned leaves none."""
        begun = Begun(
            version=VERSION,
            time=now(),
            machines=tuple(
                Bound(name=name, address=machine.address, identity=machine.identity)
                for name, machine in self.machines.items()
            ),
            request=operation.request,
            conditions=operation.conditions,
            goal=operation.goal,
        )
        kept = _Kept(None if self.folder is None else Journals(self.folder), None, begun)
        try:
            yield kept
        finally:
            kept.close()

    def _check_may_be_missing(self, name: str, bound: Bound, *, only: bool) -> None:
        if not only:
            raise JournalError(
                operation=f"operation {name}",
                problem=f"is about '{bound.name}' too, which is not at hand",
                advice=f"'memhp undo {name} --only ADDRESS' puts back one machine alone",
                exit_code=ExitCode.USAGE,
            )

    def _check_identities(self, name: str, story: Story, *, only: bool = False) -> None:
        """Refuse what was done to other machines, or before a boot; raises ``JournalError``."""
        for bound in story.begun.machines:
            if bound.name not in self.machines:
                self._check_may_be_missing(name, bound, only=only)
                continue
            was, here = bound.identity, self.machines[bound.name].identity
            if was == here:
                continue
            same = _machine_part(was) == _machine_part(here)
            what = "has been booted since" if same else "is another machine"
            several = len(story.begun.machines) > 1
            raise JournalError(
                operation=f"operation {name}",
                problem=f"cannot be gone on with or undone: '{bound.name}' {what}",
                advice=f"'memhp undo {name} --only ADDRESS' puts back the other machine alone"
                if several
                else "look at how it stands now, and ask anew",
                exit_code=ExitCode.STALE,
            )


class _Kept:
    """The journal of an operation, if it is kept; it begins with the first record."""

    def __init__(self, journals: Journals | None, journal: Journal | None, begun: Begun) -> None:
        self._journals = journals
        self._journal = journal
        self._begun = begun

    def note(self, record: Record) -> None:
        if self._journals is None:
            return
        if self._journal is None:
            self._journal = self._journals.begin(self._begun, record)
        else:
            self._journal.add(record)

    def listen(self, event: Event) -> None:
        if self._journal is not None:
            self._journal.listen(now)(event)

    def close(self) -> None:
        if self._journal is not None:
            self._journal.close()


def _of_lock(machine: Machine) -> str:
    """The identity by which a machine is locked, by whatever address it was opened."""
    return machine.other_identity if isinstance(machine, KnownOtherwise) else machine.identity


def _machine_part(identity: str) -> str:
    """An identity without the boot."""
    return identity.rpartition(":")[0]


def now() -> str:
    """The time of day in UTC, for the journal."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def undone_by(journals: Journals, name: str) -> str | None:
    """The operation that has undone this one, if any has."""
    for other in reversed(journals.names()):
        if int(other) <= int(name):
            return None
        try:
            story = journals.read(other)
        except JournalError:
            continue
        request = story.begun.request
        undoes = isinstance(request, Undo) and (request.operation, request.only) == (name, None)
        if undoes and story.finished is not None and story.finished.ending is Ending.DONE:
            return other
    return None


def _check_open(journals: Journals, name: str, story: Story) -> None:
    """Only what has not ended can be resumed; raises ``JournalError``."""
    undone = undone_by(journals, name)
    if story.finished is None and undone is None:
        if isinstance(story.begun.request, Apply) and not story.operation.legs:
            raise JournalError(
                operation=f"operation {name}",
                problem="was killed before its plan was in the journal, and has done nothing",
                advice="apply the plan again",
                exit_code=ExitCode.STALE,
            )
        return
    how = f"was undone by operation {undone}" if undone else f"has ended ({story.finished.ending})"  # type: ignore[union-attr]
    raise JournalError(
        operation=f"operation {name}",
        problem=how,
        advice="there is nothing to go on with",
        exit_code=ExitCode.USAGE,
    )
