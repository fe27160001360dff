"""Units of the memory map, and the words that the kernel has for its parts."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memhp.core.census import BlockCensus, PageKind
from memhp.core.geometry import (
    PAGE_SIZE_BYTES,
    PAGES_PER_SECTION,
    SECTION_SIZE_BYTES,
    BlockId,
    NodeId,
    bytes_of,
    pages_of,
    round_down,
    round_up,
)
from memhp.core.snapshot import MemoryBlock, Want
from memhp.core.words import BlockState, ExitCode, MemmapOnMemory, OnlineType, ZoneType


def test_the_figures_of_x86_64() -> None:
    assert (PAGE_SIZE_BYTES, SECTION_SIZE_BYTES, PAGES_PER_SECTION) == (4096, 128 << 20, 32768)


@given(st.integers(0, 1 << 60))
def test_pages_and_bytes(number: int) -> None:
    assert pages_of(bytes_of(number)) == number
    assert bytes_of(number) == number * PAGE_SIZE_BYTES
    assert bytes_of(pages_of(number)) == number - number % PAGE_SIZE_BYTES


@given(st.integers(0, 1 << 64), st.integers(1, 1 << 40))
def test_rounding(value: int, step: int) -> None:
    down, up = round_down(value, step), round_up(value, step)
    assert down % step == up % step == 0
    assert value - step < down <= value <= up < value + step


def test_zones_in_the_kernels_order() -> None:
    assert [zone.value for zone in sorted(ZoneType, key=lambda zone: zone.order)] == [
        "DMA", "DMA32", "Normal", "Movable", "Device",
    ]  # fmt: skip
    assert [zone.order for zone in ZoneType] == [0, 1, 2, 3, 4]
    assert {zone for zone in ZoneType if zone.holds_kernel_memory} == {
        ZoneType.DMA,
        ZoneType.DMA32,
        ZoneType.NORMAL,
    }


def test_words_as_the_kernel_spells_them() -> None:
    assert [*OnlineType] == ["offline", "online", "online_kernel", "online_movable"]
    assert [*BlockState] == ["online", "going-offline", "offline"]
    assert [*MemmapOnMemory] == ["N", "Y", "force"]


def test_each_exit_code_means_one_thing() -> None:
    assert {code.name: code.value for code in ExitCode.__members__.values()} == {
        "DONE": 0, "REFUSED": 1, "USAGE": 2, "MACHINE": 3, "STALE": 4, "LOCKED": 5,
        "UNKNOWN_OUTCOME": 6, "WAITING": 7, "DIFFERENT": 8, "PARTLY": 64,
        "BUG": 70, "INTERRUPTED": 130,
    }  # fmt: skip
    assert len(ExitCode) == len(ExitCode.__members__)


def block(
    state: BlockState = BlockState.ONLINE,
    zone: ZoneType | None = ZoneType.NORMAL,
    nodes: tuple[int, ...] = (0,),
) -> MemoryBlock:
    return MemoryBlock(
        block=BlockId(0),
        state=state,
        zone=zone,
        nodes=tuple(map(NodeId, nodes)),
        valid_zones=("none" if zone is None else str(zone),),
    )


@pytest.mark.parametrize("state", BlockState)
@pytest.mark.parametrize("zone", [None, ZoneType.NORMAL, ZoneType.MOVABLE])
def test_which_blocks_can_be_tried(state: BlockState, zone: ZoneType | None) -> None:
    online_in_one_zone = state == "online" and zone is not None
    assert block(state, zone).can_be_tried is online_in_one_zone


@pytest.mark.parametrize("state", BlockState)
def test_a_block_whose_zone_nobody_can_tell_may_go(state: BlockState) -> None:
    unknown = replace(block(state, None), valid_zones=())
    assert unknown.can_be_tried is (state == "online")


@pytest.mark.parametrize(("nodes", "node"), [((), None), ((3,), 3), ((0, 2, 1), 1)])
def test_a_block_is_its_last_nodes(nodes: tuple[int, ...], node: int | None) -> None:
    assert block(nodes=nodes).node == node


def test_a_census_counts_every_kind() -> None:
    pages = {PageKind.FREE: 5, PageKind.HOLE: 2, PageKind.UNKNOWN: 1}
    assert BlockCensus(block=BlockId(0), pages=pages).nr_pages == 8
    assert BlockCensus(block=BlockId(0), pages={}).nr_pages == 0


def test_all_is_every_part_of_a_snapshot() -> None:
    """But for what is dear, and asked for by name."""
    assert list(Want.ALL | Want.SURROUNDINGS | Want.CENSUS | Want.HUGE_POOLS) == list(Want)
    assert len(list(Want)) == 11
