"""What refused is set aside, and tried again once others have moved."""

from memhp.core.geometry import BlockId
from memhp.core.outcome import Done, Outcome, Refused
from memhp.core.plan import ExpectBlock, OfflineBlock, Plan, Step
from memhp.core.request import Offline
from memhp.core.targets import Blocks
from memhp.core.words import BlockState, ZoneType
from memhp.operations.again import Again, blocks_to_try_again
from memhp.operations.operation import Leg, Operation

BUSY = Refused(reason="pages in it cannot be moved, or are held", errno_name="EBUSY")
HOLES = Refused(reason="memory holes", errno_name="EINVAL")
STUCK = Refused(reason="signal backoff", errno_name="EINTR")
NOTHING = Again(blocks=frozenset())


def after(*tried: tuple[int, Outcome], patient: bool = False) -> Again:
    """What to try again after blocks were tried in this order, a leg each."""
    legs = tuple(
        Leg(plan=plan(number), before={}, outcomes=(outcome,)) for number, outcome in tried
    )
    targets = (Blocks(blocks=tuple(BlockId(number) for number, _ in tried)),)
    operation = Operation(request=Offline(targets=targets), legs=legs)
    return blocks_to_try_again(operation, patient=patient)


def plan(number: int) -> Plan:
    block = BlockId(number)
    expect = ExpectBlock(block=block, state=BlockState.ONLINE, zone=ZoneType.NORMAL)
    step = Step(machine="m", action=OfflineBlock(block=block), expect=expect)
    return Plan(request=Offline(targets=(Blocks(blocks=(block,)),)), steps=(step,), marks={})


def test_at_once_where_another_was_done_since() -> None:
    assert after((1, BUSY), (2, Done())) == Again(blocks=frozenset({BlockId(1)}))


def test_after_pauses_that_double_where_nothing_was_done_since() -> None:
    blocks = frozenset({BlockId(1)})
    assert after((1, BUSY)) == Again(blocks=blocks, pause_seconds=1)
    assert after((1, BUSY), (1, BUSY)) == Again(blocks=blocks, pause_seconds=2)
    assert after(*[(1, BUSY)] * 4) == Again(blocks=blocks, pause_seconds=8)


def test_not_for_ever() -> None:
    assert after(*[(1, BUSY)] * 5) == NOTHING


def test_not_what_will_not_change() -> None:
    assert after((1, HOLES), (2, Done())) == NOTHING


def test_not_what_has_gone_since() -> None:
    assert after((1, BUSY), (2, Done()), (1, Done())) == NOTHING


def test_those_that_were_tried_less_come_first() -> None:
    found = after((1, BUSY), (1, BUSY), (2, BUSY))
    assert found == Again(blocks=frozenset({BlockId(2)}), pause_seconds=1)


def test_what_was_given_up_only_where_time_is_short() -> None:
    assert after((1, STUCK), (2, Done())) == NOTHING
    assert after((1, STUCK), (2, Done()), patient=True) == Again(blocks=frozenset({BlockId(1)}))
