"""The rule by which ``explain`` answers, case by case."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memhp.core.evidence import BlockEvidence, Evidence, Held, NodeRoom, Sighting
from memhp.core.geometry import BlockId, NodeId
from memhp.core.words import BlockState, ZoneType
from memhp.operations.predict_offline import Answer, Prediction, predict
from memhp.operations.room_elsewhere import TotalRoom, total_room

NORMAL, MOVABLE = ZoneType.NORMAL, ZoneType.MOVABLE
PAGES = 32768
WIDE = NodeRoom(node=NodeId(1), kernel_free=PAGES, movable_free=PAGES)


def block(
    kinds: Mapping[Held, int],
    zone: ZoneType | None = NORMAL,
    *,
    lasting: bool = True,
    looks: int = 5,
    has_holes: bool = False,
    stuck: str = "",
    nobodys: int | None = None,
) -> BlockEvidence:
    shown = {Held.RESERVED, Held.SLAB, Held.PAGE_TABLE, Held.KERNEL, Held.PINNED}
    seen = tuple(
        Sighting(kind=kind, first_pfn=0x1000, count=count)
        for kind, count in kinds.items()
        if kind in shown
    )
    return BlockEvidence(
        block=BlockId(9),
        state=BlockState.ONLINE,
        zone=zone,
        node=NodeId(0),
        kinds=kinds,
        sightings=seen,
        lasting={k: n for k, n in kinds.items() if k in {*shown, Held.PLAIN}} if lasting else {},
        looks=looks,
        has_holes=has_holes,
        stuck=stuck,
        most_nobodys=nobodys,
    )


def said(seen: BlockEvidence, *rooms: NodeRoom, swap: int = 0, reserved: int = 0) -> Prediction:
    evidence = Evidence(
        blocks=(seen,),
        rooms=rooms or (NodeRoom(node=NodeId(0)), WIDE),
        pages_per_block=PAGES,
        swap_free=swap,
        reserved_huge=reserved,
    )
    return predict(seen, evidence)


CASES = [
    ("free", block({Held.FREE: PAGES}), Answer.YES),
    ("several zones", block({}, None), Answer.NO),
    ("holes", block({}, has_holes=True), Answer.NO),
    ("named by a machine", block({}, stuck="a driver's buffer"), Answer.NO),
    ("reserved in Movable", block({Held.RESERVED: 1}, MOVABLE), Answer.NO),
    ("slab", block({Held.SLAB: 1}), Answer.NO),
    ("slab in Movable", block({Held.SLAB: 1}, MOVABLE), Answer.YES),
    ("a few that come and go", block({Held.PAGE_TABLE: 3}, lasting=False), Answer.UNKNOWN),
    ("many that come and go", block({Held.PAGE_TABLE: 300}, lasting=False), Answer.NO),
    ("a few, looked at once", block({Held.KERNEL: 1}, lasting=False, looks=1), Answer.NO),
    ("nobody can tell", block({Held.PLAIN: 1}), Answer.UNKNOWN),
    ("nobody can tell, Movable", block({Held.PLAIN: 1}, MOVABLE), Answer.YES),
    ("more than lists hold", block({Held.PLAIN: 900}, nobodys=600), Answer.NO),
    ("hardly more", block({Held.PLAIN: 900}, nobodys=700), Answer.UNKNOWN),
    ("more, Movable", block({Held.PLAIN: 900}, MOVABLE, nobodys=0), Answer.YES),
    ("more, now and then", block({Held.PLAIN: 900}, lasting=False, nobodys=0), Answer.UNKNOWN),
    ("more, looked at once", block({Held.PLAIN: 900}, looks=1, nobodys=0), Answer.UNKNOWN),
    ("pinned", block({Held.PINNED: 1}, MOVABLE), Answer.NO),
    ("read into", block({Held.BUSY: 1}, MOVABLE), Answer.YES),
    ("per-CPU, zram, balloon", block({Held.CACHED_FREE: 9, Held.DRIVER_MOVABLE: 9}), Answer.YES),
    ("given away, poisoned", block({Held.DRIVER: 9, Held.POISONED: 1}), Answer.YES),
    ("1 GiB page", block({Held.GIGANTIC: PAGES}), Answer.NO),
    ("1 GiB page, free", block({Held.GIGANTIC_FREE: PAGES}), Answer.YES),
    ("huge pages, made anew", block({Held.HUGE: 1024}), Answer.YES),
]


@pytest.mark.parametrize(
    ("seen", "answer"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_the_answer(seen: BlockEvidence, answer: Answer) -> None:
    prediction = said(seen)
    assert prediction.answer is answer
    assert bool(prediction.obstacles) == (answer is not Answer.YES)


@pytest.mark.parametrize(
    ("used", "idle", "free", "answer"),
    [
        (0, 5, 5, Answer.YES),
        (1, 0, 5, Answer.YES),
        (1, 1, 5, Answer.UNKNOWN),
        (2, 0, 1, Answer.NO),
        (2, 0, 0, Answer.YES),
    ],
)
def test_huge_pages_of_the_only_node_change_places(
    used: int, idle: int, free: int, answer: Answer
) -> None:
    room = NodeRoom(node=NodeId(0), kernel_free=PAGES, free_huge=free)
    seen = block({Held.HUGE: 512 * used, Held.HUGE_FREE: 512 * idle})
    assert said(seen, room).answer is answer


def test_huge_pages_go_to_another_node_s_pool() -> None:
    home = NodeRoom(node=NodeId(0), free_huge=9)
    for free, answer in ((2, Answer.YES), (1, Answer.NO)):
        other = NodeRoom(node=NodeId(1), free_huge=free)
        assert said(block({Held.HUGE: 1024}), home, other).answer is answer
    gigantic = NodeRoom(node=NodeId(1), free_gigantic=1)
    assert said(block({Held.GIGANTIC: PAGES}), home, gigantic).answer is Answer.YES


def test_promised_huge_pages_may_not_leave_the_pool() -> None:
    room = NodeRoom(node=NodeId(1), free_huge=2)
    seen = block({Held.HUGE_FREE: 1024})
    assert said(seen, room, reserved=1).answer is Answer.UNKNOWN
    assert said(seen, room, reserved=0).answer is Answer.YES


@pytest.mark.parametrize(
    ("room", "swap", "answer"),
    [
        (NodeRoom(node=NodeId(1), kernel_free=100), 0, Answer.YES),
        (NodeRoom(node=NodeId(1), kernel_free=99), 0, Answer.NO),
        (NodeRoom(node=NodeId(1), kernel_free=99, kernel_reclaimable=1), 0, Answer.UNKNOWN),
        (NodeRoom(node=NodeId(1), kernel_free=99), 1, Answer.UNKNOWN),
        (NodeRoom(node=NodeId(1), movable_free=1000), 0, Answer.NO),
    ],
)
def test_room_for_pages_of_a_kernel_zone(room: NodeRoom, swap: int, answer: Answer) -> None:
    home = NodeRoom(node=NodeId(0), kernel_free=PAGES)
    assert said(block({Held.LRU: 100}), home, room, swap=swap).answer is answer


def test_movable_pages_go_anywhere_and_large_pieces_perhaps() -> None:
    room = NodeRoom(node=NodeId(1), movable_free=1000)
    assert said(block({Held.LRU: 100}, MOVABLE), room).answer is Answer.YES
    assert said(block({Held.LARGE: 512}), room).answer is Answer.UNKNOWN


def test_the_block_s_own_free_pages_are_no_room() -> None:
    seen = block({Held.FREE: 60, Held.CACHED_FREE: 10, Held.LRU: 30})
    home = NodeRoom(node=NodeId(0), kernel_free=100, kernel_reclaimable=50, movable_free=7)
    evidence = Evidence(blocks=(seen,), rooms=(home,), pages_per_block=100)
    assert total_room(seen, evidence) == TotalRoom(free=30, reclaimable=20, for_large=7)


def test_an_offline_block_has_nothing_left_to_go() -> None:
    seen = BlockEvidence(block=BlockId(1), state=BlockState.OFFLINE, zone=None, node=None)
    prediction = said(seen)
    assert (prediction.answer, prediction.is_offline) == (Answer.YES, True)


def test_who_holds_what_stays_is_named_with_what_to_do() -> None:
    seen = block({Held.PINNED: 2}, MOVABLE)
    holder = Sighting(kind=Held.PINNED, first_pfn=0, count=2, owner="process 7 (db)")
    evidence = Evidence(blocks=(seen,), rooms=(WIDE,), pages_per_block=PAGES, holders=(holder,))
    [obstacle] = predict(seen, evidence).obstacles
    assert obstacle.remedy == "stop process 7 (db)"
    assert "page frame 0x1000 at 0x1000000 and 1 more" in obstacle.what


@given(st.dictionaries(st.sampled_from(Held), st.integers(1, PAGES)), st.sampled_from(ZoneType))
def test_more_in_the_way_never_makes_it_easier(kinds: dict[Held, int], zone: ZoneType) -> None:
    order = [Answer.YES, Answer.UNKNOWN, Answer.NO]
    easy, hard = said(block(kinds, zone)), said(block({**kinds, Held.PINNED: 1}, zone))
    assert order.index(hard.answer) >= order.index(easy.answer)
    assert hard.answer is Answer.NO
