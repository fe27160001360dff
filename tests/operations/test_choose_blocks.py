"""An amount comes from where it is surest to come and cheapest to have."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memhp.core.census import BlockCensus, PageKind
from memhp.core.errors import CannotPlan
from memhp.core.geometry import MIB, BlockId, NodeId
from memhp.core.plan import OfflineBlock
from memhp.core.request import Offline
from memhp.core.snapshot import MemoryBlock, Room, Snapshot, Want
from memhp.core.targets import Amount
from memhp.core.words import BlockState, ZoneType
from memhp.operations.choose_blocks import Sureness, by_preference, sureness
from memhp.operations.plan_logical import plan_offline

BLOCK = 128 * MIB
PAGES = 32768
Pages = Mapping[PageKind, int]
FREE: Pages = {PageKind.FREE: PAGES}


def used(nr_pages: int, **more: int) -> Pages:
    """A block in which so many pages have to move, and some of other kinds."""
    kinds = {PageKind[name.upper()]: number for name, number in more.items()}
    rest = PAGES - nr_pages - sum(kinds.values())
    return {PageKind.ANON: nr_pages, PageKind.FREE: rest, **kinds}


def block(number: int, zone: ZoneType = ZoneType.MOVABLE, node: int = 0) -> MemoryBlock:
    return MemoryBlock(
        block=BlockId(number),
        state=BlockState.ONLINE,
        zone=zone,
        nodes=(NodeId(node),),
        valid_zones=(zone.value,),
    )


def snapshot(
    blocks: list[MemoryBlock], pages: Mapping[int, Pages], available: int | None = None
) -> Snapshot:
    return Snapshot(
        machine="model:m",
        identity="m",
        want=Want.BLOCKS,
        block_size_bytes=BLOCK,
        blocks=tuple(blocks),
        room=Room(available_bytes=available),
        census={
            BlockId(number): BlockCensus(block=BlockId(number), pages=kinds)
            for number, kinds in pages.items()
        },
    )


def preferred(blocks: list[MemoryBlock], pages: Mapping[int, Pages]) -> list[int]:
    return [b.block for b in by_preference(blocks, snapshot(blocks, pages))]


def planned(shot: Snapshot, nr_blocks: int) -> list[int]:
    plan = plan_offline(Offline(targets=(Amount(size_bytes=nr_blocks * BLOCK),)), shot)
    return [s.action.block for s in plan.steps if isinstance(s.action, OfflineBlock)]


def test_without_a_census_movable_blocks_come_first_and_high_ones_before_low_ones() -> None:
    normal = ZoneType.NORMAL
    blocks = [block(1, normal), block(2), block(3, node=1), block(4, normal)]
    assert preferred(blocks, {}) == [3, 2, 4, 1]


def test_free_blocks_come_before_full_ones_wherever_they_lie() -> None:
    blocks = [block(number) for number in (1, 2, 3, 4)]
    pages = {1: FREE, 2: used(30000), 3: used(200), 4: used(31000)}
    assert preferred(blocks, pages) == [1, 3, 2, 4]


def test_what_cannot_go_comes_last_and_what_may_not_come_back_before_it() -> None:
    blocks = [block(number, ZoneType.NORMAL) for number in (1, 2, 3, 4)]
    pages = {
        1: used(9000),
        2: used(10, unknown=1),
        3: used(0, poisoned=1),
        4: used(0, slab=1),
    }
    assert preferred(blocks, pages) == [1, 3, 2, 4]


def test_dear_pages_count_double() -> None:
    blocks = [block(number) for number in (1, 2, 3)]
    pages = {1: used(0, dirty=1000), 2: used(1500), 3: used(0, dirty=900)}
    assert preferred(blocks, pages) == [2, 3, 1]


def test_pages_of_unknown_kind_do_not_matter_in_a_movable_zone() -> None:
    pages = BlockCensus(block=BlockId(1), pages=used(0, unknown=7))
    assert sureness(block(1), pages) is Sureness.SURE
    assert sureness(block(1, ZoneType.NORMAL), pages) is Sureness.UNSURE


def test_nodes_give_in_turns_and_the_one_with_most_room_first() -> None:
    blocks = [block(n, node=0) for n in (1, 2, 3)] + [block(n, node=1) for n in (4, 5, 6)]
    pages = {1: FREE, 2: FREE, 3: used(20000), 4: FREE, 5: FREE, 6: FREE}
    # Node 1 is free altogether, then as free as node 0, until that is all used.
    assert preferred(blocks, pages)[:4] == [6, 5, 4, 2]


@given(
    st.lists(
        st.tuples(
            st.sampled_from([ZoneType.MOVABLE, ZoneType.NORMAL]),
            st.integers(0, 2),
            st.integers(0, PAGES - 2),
            st.integers(0, 1),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_every_block_comes_once_and_none_before_a_surer_one(
    drawn: list[tuple[ZoneType, int, int, int]],
) -> None:
    blocks = [block(n, zone, node) for n, (zone, node, _, _) in enumerate(drawn)]
    pages = {n: used(moving, slab=stuck) for n, (_, _, moving, stuck) in enumerate(drawn)}
    order = preferred(blocks, pages)
    assert sorted(order) == list(range(len(drawn)))
    stuck = [drawn[number][3] for number in order]
    assert stuck == sorted(stuck)


def test_room_is_left_for_what_is_in_use() -> None:
    blocks = [block(number) for number in range(8)]
    pages = {number: used(PAGES // 2) for number in range(8)}
    shot = snapshot(blocks, pages)
    # Four blocks' worth is free, less the reserve of 64 MiB.
    assert len(planned(shot, 3)) == 3
    with pytest.raises(CannotPlan, match="only 384M of 512M can be spared: the rest is in use"):
        planned(shot, 4)


def test_what_the_kernel_calls_available_is_room_too() -> None:
    blocks = [block(number) for number in range(8)]
    pages = {number: used(PAGES) for number in range(8)}
    assert len(planned(snapshot(blocks, pages, available=5 * BLOCK), 4)) == 4
