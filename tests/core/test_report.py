"""What came of a plan, folded from its events."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memhp.core.events import Event, PlanEnded, PlanStarted, StepEnded, StepProgress, StepStarted
from memhp.core.geometry import BlockId
from memhp.core.outcome import Done, Outcome, Partly, Refused, Unanswered
from memhp.core.plan import OfflineBlock, Plan, Step
from memhp.core.report import Report, StepReport, report_of
from memhp.core.request import Offline
from memhp.core.words import ExitCode

STEPS = tuple(
    Step(machine="model:", action=OfflineBlock(block=BlockId(number))) for number in range(4)
)
DONE = Done()
NO = Refused(reason="failure to isolate range", errno_name="EBUSY")
HALF = Partly(done_bytes=1, wanted_bytes=2, reason="unmovable pages")
SILENT = Unanswered(asked="eject dimm0")


def plan(planned: int) -> Plan:
    return Plan(request=Offline(targets=()), marks={}, steps=STEPS[:planned])


def events_of(planned: int, outcomes: list[Outcome]) -> list[Event]:
    """The events of a plan of so many steps that ended after these outcomes."""
    events: list[Event] = [PlanStarted(plan=plan(planned))]
    for index, outcome in enumerate(outcomes):
        events.append(StepStarted(index=index, step=STEPS[index]))
        events.append(StepProgress(step=STEPS[index], done=1, total=None, unit="pages"))
        events.append(StepEnded(index=index, step=STEPS[index], outcome=outcome))
    return [*events, PlanEnded()]


def report(planned: int, *outcomes: Outcome) -> Report:
    return report_of(events_of(planned, list(outcomes)))


def test_a_report_is_the_steps_that_ended() -> None:
    assert report(3, DONE, NO) == Report(
        planned=3,
        steps=(
            StepReport(step=STEPS[0], outcome=DONE),
            StepReport(step=STEPS[1], outcome=NO),
        ),
    )


def test_no_events_are_an_empty_report() -> None:
    assert report_of([]) == Report(planned=0, steps=())


def test_a_step_that_never_ended_is_not_reported() -> None:
    events = events_of(2, [DONE])
    started = [*events[:-1], StepStarted(index=1, step=STEPS[1])]
    assert report_of(started) == report(2, DONE)


@pytest.mark.parametrize(
    ("planned", "outcomes", "code"),
    [
        (0, [], ExitCode.DONE),
        (1, [DONE], ExitCode.DONE),
        (2, [DONE, DONE], ExitCode.DONE),
        (1, [NO], ExitCode.REFUSED),
        (2, [NO], ExitCode.REFUSED),
        (2, [NO, NO], ExitCode.REFUSED),
        (1, [], ExitCode.REFUSED),
        (2, [DONE], ExitCode.PARTLY),
        (2, [DONE, NO], ExitCode.PARTLY),
        (2, [NO, DONE], ExitCode.PARTLY),
        (1, [HALF], ExitCode.PARTLY),
        (2, [HALF, NO], ExitCode.PARTLY),
        (1, [SILENT], ExitCode.UNKNOWN_OUTCOME),
        (2, [DONE, SILENT], ExitCode.UNKNOWN_OUTCOME),
        (2, [SILENT, NO], ExitCode.UNKNOWN_OUTCOME),
        (2, [HALF, SILENT], ExitCode.UNKNOWN_OUTCOME),
    ],
)
def test_exit_codes(planned: int, outcomes: list[Outcome], code: ExitCode) -> None:
    assert report(planned, *outcomes).exit_code is code


outcomes = st.lists(st.sampled_from([DONE, NO, HALF, SILENT]), max_size=4)


@given(outcomes, st.integers(0, 4))
def test_what_a_report_counts(ended: list[Outcome], more: int) -> None:
    planned = min(len(ended) + more, len(STEPS))
    found = report(planned, *ended)
    assert found.planned == planned
    assert [entry.outcome for entry in found.steps] == ended
    assert found.done == ended.count(DONE)
    assert [entry.outcome for entry in found.refusals] == [NO] * ended.count(NO)
    assert (found.exit_code is ExitCode.DONE) is (ended == [DONE] * planned)
    assert (found.exit_code is ExitCode.UNKNOWN_OUTCOME) is (SILENT in ended)


@given(outcomes)
def test_a_log_read_so_far_agrees_with_the_whole(ended: list[Outcome]) -> None:
    events = events_of(len(STEPS), ended)
    for count in range(1, len(events) + 1):
        so_far = report_of(events[:count])
        assert so_far.planned == len(STEPS)
        assert so_far.steps == report_of(events).steps[: len(so_far.steps)]
        assert len(so_far.steps) == sum(isinstance(e, StepEnded) for e in events[:count])
