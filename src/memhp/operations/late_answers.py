"""Answers that come late: what operations of the journal still wait for, held against machines.

Whoever works on a machine next takes the answers that have come since, writes
them into the journals that wait for them, and leaves alone what still waits.
"""

from collections.abc import Callable, Iterator, Mapping

from memhp.core.errors import JournalError
from memhp.core.plan import Step
from memhp.core.snapshot import Snapshots
from memhp.operations.found_again import answer_found
from memhp.operations.journal import Journals
from memhp.operations.journal_records import Answered, Finished, Story
from memhp.operations.next_leg import ending_of, next_leg
from memhp.operations.operation import Operation, block_of, things_of
from memhp.operations.untouchable import Pending

Look = Callable[[Mapping[str, str]], Snapshots]
"""Reads the machines of an operation that are at hand, given as its names with ours."""


def still_pending(
    journals: Journals,
    identities: Mapping[str, str],
    look: Look,
    now: str,
    *,
    but: str | None = None,
) -> tuple[Pending, ...]:
    """What other operations wait for on these machines (names with identities).

    Their locks are held. ``but`` is the operation that asks.
    """
    found = []
    for name, story, step in _waiting(journals):
        here = _names_here(story, identities)
        if name == but or step.machine not in here:
            continue
        if not _take_answer(journals, name, (story, step), look(here), now):
            pending = Pending(machine=here[step.machine], step=step, operation=name)
            found.append(pending)
    return tuple(found)


def _waiting(journals: Journals) -> Iterator[tuple[str, Story, Step]]:
    """Every operation that waits for an answer; a journal that cannot be read keeps nobody up."""
    for name in journals.open_ones():
        try:
            story = journals.read(name)
        except JournalError:
            continue
        step = story.operation.unanswered()
        # What a person puts in may be touched by anybody, then and before.
        if step is not None and not story.operation.waits_for_a_person():
            yield name, story, step


def _names_here(story: Story, identities: Mapping[str, str]) -> dict[str, str]:
    """The names that an operation gave the machines at hand, with their names here."""
    ours = {identity: name for name, identity in identities.items()}
    return {
        bound.name: ours[bound.identity] for bound in story.begun.machines if bound.identity in ours
    }


def _take_answer(
    journals: Journals, name: str, waiting: tuple[Story, Step], snapshots: Snapshots, now: str
) -> bool:
    """Write an answer that has come into the journal, and the end, where that is the end."""
    story, step = waiting
    if block_of(step) is not None and not snapshots[step.machine].blocks:
        # Nothing is seen of any block: that is no answer about this one.
        return False
    outcome = answer_found(step, things_of(snapshots[step.machine]))
    if outcome is None:
        return False
    leg = story.operation.legs[-1].with_answer(outcome)
    operation = story.operation.with_last(leg)
    with journals.reopen(name) as journal:
        journal.add(Answered(outcome=outcome))
        if len(snapshots) == len(story.begun.machines) and _is_at_its_end(operation, snapshots):
            journal.add(Finished(ending=ending_of(operation, snapshots), time=now))
    return True


def _is_at_its_end(operation: Operation, snapshots: Snapshots) -> bool:
    return operation.legs[-1].ended and next_leg(operation, snapshots) is None
