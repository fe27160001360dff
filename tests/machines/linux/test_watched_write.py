"""A block that goes offline under watch: what counts as progress, and what ends it."""

from collections.abc import Iterator
from itertools import chain, repeat

from memhp.core.events import StepProgress
from memhp.core.geometry import BlockId
from memhp.core.limits import Limits
from memhp.core.outcome import Done, Outcome, Refused
from memhp.core.plan import OfflineBlock, Step
from memhp.machines.linux.watched_write import BlockWatch, Sight, watched

STEP = Step(machine="linux:", action=OfflineBlock(block=BlockId(5)))
LIMITS = Limits(stall_seconds=10, pressure_percent=40, pause_seconds=5)
INTERRUPTED = Refused(reason="signal backoff", errno_name="EINTR")


def ever(*figures: float | None) -> Iterator[float | None]:
    """The figures one after the other, and the last one for ever."""
    return chain(figures, repeat(figures[-1]))


class Look:
    """A machine by its figures; every look takes a second."""

    def __init__(
        self,
        left: Iterator[float | None] | None = None,
        moved: Iterator[float | None] | None = None,
        pressure: Iterator[float | None] | None = None,
    ) -> None:
        left, moved, pressure = left or ever(None), moved or ever(None), pressure or ever(None)
        self.now = 0.0
        self.told: list[StepProgress] = []
        self.sight = Sight(
            left=lambda: next(left),
            moved=lambda: next(moved),
            pressure=lambda: next(pressure),
            clock=lambda: self.now,
            sleep=self._sleep,
        )

    def _sleep(self, _seconds: float) -> None:
        self.now += 1

    def seconds_of(self, watch: BlockWatch, most: int = 100) -> int:
        """How long it lets a write go on."""
        for second in range(most):
            self.now += 1
            if not watch():
                return second + 1
        return most

    def watch(self, limits: Limits = LIMITS) -> BlockWatch:
        return BlockWatch(STEP, self.sight, limits, self.told.append)

    def run(self, *, seconds: int) -> Outcome:
        """A block that takes so long, where it may."""

        def attempt(watch: BlockWatch) -> Outcome:
            return Done() if self.seconds_of(watch, seconds) == seconds else INTERRUPTED

        return watched(STEP, attempt, self.sight, LIMITS, self.told.append)


def test_a_block_that_gets_emptier_goes_on() -> None:
    look = Look(left=iter(range(1000, 0, -1)))
    assert look.seconds_of(look.watch(), 50) == 50
    assert look.told[:3] == [
        StepProgress(step=STEP, done=n, total=1000, unit="pages gone") for n in range(3)
    ]


def test_pages_that_go_round_and_round_in_a_block_are_no_progress() -> None:
    look = Look(left=ever(500, 501, 500), moved=iter(range(1000)))
    watch = look.watch()
    assert look.seconds_of(watch) == 11
    assert watch.why == "given up, for nothing has moved for 10 s"


def test_where_the_block_cannot_be_seen_into_pages_moved_count() -> None:
    look = Look(moved=ever(*range(20)))
    assert look.seconds_of(look.watch()) == 30


def test_where_nothing_can_be_seen_it_is_the_time_alone() -> None:
    look = Look()
    assert look.seconds_of(look.watch()) == 10


def test_without_a_limit_nothing_is_given_up() -> None:
    look = Look(pressure=ever(99.0))
    assert look.seconds_of(look.watch(Limits(stall_seconds=None, pressure_percent=None))) == 100


def test_a_stall_is_the_reason_of_the_refusal() -> None:
    assert Look().run(seconds=50) == Refused(
        reason="signal backoff: given up, for nothing has moved for 10 s", errno_name="EINTR"
    )


def test_pressure_is_waited_out_before_a_block() -> None:
    look = Look(pressure=ever(80.0, 60.0, 12.0))
    assert look.run(seconds=5) == Done()
    assert [told.unit for told in look.told] == [
        "paused, for memory pressure is 80 %",
        "paused, for memory pressure is 60 %",
    ]


def test_a_block_is_given_up_for_pressure_and_tried_again() -> None:
    look = Look(pressure=ever(0.0, 0.0, 90.0, 90.0, 0.0))
    assert look.run(seconds=5) == Done()
    assert "paused, for memory pressure is 90 %" in [told.unit for told in look.told]


def test_pressure_that_stays_ends_the_run() -> None:
    assert Look(pressure=ever(90.0)).run(seconds=5) == Refused(
        reason="memory pressure has stayed at 90 % (the limit is 40 %, see --brake)", ends_run=True
    )


def test_a_block_that_brings_pressure_each_time_ends_the_run() -> None:
    look = Look(pressure=chain(*repeat((0.0, 90.0), 3)))
    outcome = look.run(seconds=5)
    assert isinstance(outcome, Refused)
    assert outcome.ends_run
