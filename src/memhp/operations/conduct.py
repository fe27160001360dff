"""Beginning, resuming and undoing operations, each under the machine's lock and in a journal."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from memhp.core.errors import JournalError
from memhp.core.events import Event
from memhp.core.machine import Machine, Settling
from memhp.core.plan import Plan
from memhp.core.request import Apply, Conditions, Undo
from memhp.core.words import Ending, ExitCode
from memhp.operations.converge import Note, converge, found_again
from memhp.operations.execute import Listener, check_marks
from memhp.operations.journal import Journal, Journals
from memhp.operations.journal_records import VERSION, Begun, Planned, Record, Story
from memhp.operations.known_state import check_known
from memhp.operations.machine_lock import lock_machine
from memhp.operations.next_leg import WANT
from memhp.operations.operation import Leg, Operation, before_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Conductor:
    """Carries operations out on one machine; ``folder`` keeps journals and locks.

    Without a folder nothing is kept: for a machine that does not last either.
    Everything may raise what planners, machines and the journal raise.
    """

    machine: Machine
    folder: Path | None
    listener: Listener
    until: float | None = None

    def begin(self, operation: Operation) -> Ending:
        """Carry a new operation out to its end."""
        with self._lock(str(operation.request)), self._journal(operation) as kept:
            return self._converge(operation, kept.note, kept.listen)

    def apply(self, plan: Plan, conditions: Conditions) -> Ending:
        """Carry out a saved plan, if the machine is still as it was; raises ``StalePlan``."""
        operation = Operation(request=Apply(asked=str(plan.request)), conditions=conditions)
        with self._lock(str(operation.request)), self._journal(operation) as kept:
            check_marks(plan, {self.machine.name: self.machine})
            before = before_of(plan, self.machine.snapshot(WANT))
            kept.note(Planned(plan=plan, before=before, back=False))
            leg = Leg(plan=plan, before=before)
            return self._converge(operation.with_leg(leg), kept.note, kept.listen)

    def resume(self, name: str) -> Ending:
        """Go on with an operation of the journal; raises ``JournalError``."""
        journals = self._journals()
        story = journals.read(name)
        _check_open(journals, name, story)
        if isinstance(story.begun.request, Apply) and not story.operation.legs:
            raise JournalError(
                operation=f"operation {name}",
                problem="was killed before its plan was in the journal, and has done nothing",
                advice="apply the plan again",
                exit_code=ExitCode.STALE,
            )
        with self._lock(f"resume {name}"):
            self._check_identity(name, story)
            with journals.reopen(name) as journal:
                kept = _Kept(journals, journal, story.begun)

                def tell(event: Event) -> None:
                    kept.listen(event)
                    self.listener(event)

                operation = found_again(story, self.machine.snapshot(WANT), tell)
                return self._converge(operation, kept.note, kept.listen)

    def undo(self, name: str) -> Ending:
        """Put back what an operation of the journal has changed; raises ``JournalError``."""
        story = self._journals().read(name)
        goal = story.operation.before()
        operation = Operation(request=Undo(operation=name), goal=goal)
        with self._lock(f"undo {name}"), self._journal(operation) as kept:
            self._check_identity(name, story)
            check_known(name, story.operation, self.machine.snapshot(WANT))
            return self._converge(operation, kept.note, kept.listen)

    def _converge(self, operation: Operation, note: Note, listen: Listener) -> Ending:
        return converge(
            operation,
            self.machine,
            note=note,
            listeners=(listen, self.listener),
            until=self.until,
        )

    def _journals(self) -> Journals:
        if self.folder is None:
            raise JournalError(
                operation=f"machine '{self.machine.name}'",
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
        identity = self.machine.identity
        with lock_machine(self.folder / "locks", self.machine.name, identity, what):
            if isinstance(self.machine, Settling):
                self.machine.settle()
            yield

    @contextmanager
    def _journal(self, operation: Operation) -> Iterator["_Kept"]:
        """A journal that begins with the first leg: what cannot be planned leaves none."""
        begun = Begun(
            version=VERSION,
            time=now(),
            address=self.machine.address,
            identity=self.machine.identity,
            request=operation.request,
            conditions=operation.conditions,
            goal=operation.goal,
        )
        kept = _Kept(None if self.folder is None else Journals(self.folder), None, begun)
        try:
            yield kept
        finally:
            kept.close()

    def _check_identity(self, name: str, story: Story) -> None:
        was, here = story.begun.identity, self.machine.identity
        if was == here:
            return
        same = was.rpartition(":")[0] == here.rpartition(":")[0]
        what = "has been booted since" if same else "is another machine"
        raise JournalError(
            operation=f"operation {name}",
            problem=f"cannot be gone on with or undone: '{self.machine.name}' {what}",
            advice="look at how it stands now, and ask anew",
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


def now() -> str:
    """The time of day in UTC, for the journal."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def undone_by(journals: Journals, name: str) -> str | None:
    """The operation that has undone this one, if any has."""
    for other in reversed(journals.names()):
        if int(other) <= int(name):
            return None
        story = journals.read(other)
        undoes = isinstance(story.begun.request, Undo) and story.begun.request.operation == name
        if undoes and story.finished is not None and story.finished.ending is Ending.DONE:
            return other
    return None


def _check_open(journals: Journals, name: str, story: Story) -> None:
    """Only what has not ended can be resumed; raises ``JournalError``."""
    undone = undone_by(journals, name)
    if story.finished is None and undone is None:
        return
    how = f"was undone by operation {undone}" if undone else f"has ended ({story.finished.ending})"  # type: ignore[union-attr]
    raise JournalError(
        operation=f"operation {name}",
        problem=how,
        advice="there is nothing to go on with",
        exit_code=ExitCode.USAGE,
    )
