"""One run: what is counted is what the machine shows."""

from dataclasses import replace
from functools import cache

import pytest

from memhp.core.geometry import GIB, NodeId
from memhp.core.words import BlockState
from memhp.model.boot_inputs import BootInputs, inputs_of
from memhp.model.compare.facts import Access, Combination, Facts
from memhp.model.compare.figures import local_share
from memhp.model.compare.load import Load, lay
from memhp.model.compare.placement import placed_pages
from memhp.model.compare.run_one import Run, boot_under, run_one, stuck_free_pages
from memhp.model.compare.taking_out import take_out, wanted_blocks
from memhp.model.description import parse_description, start
from memhp.model.pages.allocate import Request
from memhp.model.pages.build import open_pages
from memhp.model.pages.gfp import GFP_KERNEL
from memhp.model.pages.words import PageKind

MACHINE = """
[[node]]
memory = "1G"
cpus = 2
[[node]]
cpus = 6
hotpluggable = true
[[dimm]]
name = "dimm0"
size = "1G"
node = 1
"""
LOAD = Load()


@cache
def inputs() -> BootInputs:
    return inputs_of(start(parse_description(MACHINE, "pair.toml")))


def combination(policy: str, memmap: str = "ordinary") -> Combination:
    return Combination(policy=policy, memmap=memmap, migrate_vmalloc=False)


@cache
def facts(policy: str, memmap: str = "ordinary", seed: int = 1) -> Facts:
    return run_one(
        Run(inputs=inputs(), combination=combination(policy, memmap), load=LOAD, seed=seed)
    )


def test_the_same_seed_gives_the_same_and_another_another() -> None:
    again = run_one(Run(inputs=inputs(), combination=combination("normal"), load=LOAD, seed=1))
    assert again == facts("normal")
    assert facts("normal", seed=2) != facts("normal")


def test_what_is_meant_to_come_out_are_the_devices() -> None:
    kernel = boot_under(inputs(), combination("normal"))
    [dimm] = [slot.range for slot in kernel.slots.values()]
    assert wanted_blocks(kernel) == tuple(reversed(kernel.blocks_of(dimm)))


def test_without_devices_every_block_is_meant() -> None:
    plain = inputs_of(start(parse_description('[[node]]\nmemory = "1G"\ncpus = 1\n', "plain.toml")))
    assert len(wanted_blocks(plain.boot())) == 8


def test_a_movable_node_comes_out_whole() -> None:
    found = facts("movable-node")
    assert (found.total_bytes, found.out_bytes, found.refusals) == (GIB, GIB, {})
    assert found.moved_user_pages > 0


def test_kernel_memory_keeps_blocks_of_a_normal_machine() -> None:
    found = facts("normal")
    assert found.out_bytes < GIB
    assert found.blocks_out + sum(found.refusals.values()) == 8
    assert set(found.refusals) <= {kind.value for kind in PageKind}


def test_a_movable_node_sends_kernel_memory_away_and_user_data_not() -> None:
    local = {kind: local_share(facts("movable-node").placed[kind]) for kind in Access}
    assert local[Access.USER] == pytest.approx(1, abs=0.15)
    for kind in (Access.WALKS, Access.SLAB, Access.STRUCT_PAGES):
        share = local[kind]
        assert share is not None
        assert share < 0.8


def test_memory_maps_in_their_own_blocks_are_local() -> None:
    placed = facts("movable-node", "block").placed
    assert placed[Access.STRUCT_PAGES] == placed[Access.USER]


def test_blocks_that_went_are_offline_and_no_page_is_lost() -> None:
    kernel = boot_under(inputs(), combination("movable-node"))
    pages = open_pages(kernel)
    lay(kernel, pages, LOAD, 3)
    before = {number: pages.holders.live(one) for number, one in pages.holders.holdings.items()}
    out = take_out(kernel, pages, wanted_blocks(kernel))
    after = {number: pages.holders.live(one) for number, one in pages.holders.holdings.items()}
    assert before == after
    offline = [run for run in kernel.blocks if run.value.state is BlockState.OFFLINE]
    assert sum(run.end - run.start for run in offline) == out.blocks == 8


def test_placed_pages_are_all_pages_of_the_owners() -> None:
    kernel = boot_under(inputs(), combination("normal"))
    pages = open_pages(kernel)
    homes = lay(kernel, pages, LOAD, 4)
    placed = placed_pages(kernel, pages, homes)
    slab = [h for h in pages.holders.holdings.values() if h.kind.value.endswith("slab")]
    live = sum(pages.holders.live(holding) << holding.order for holding in slab)
    assert sum(placed[Access.SLAB].values()) == live
    assert {user for user, _ in placed[Access.USER]} == {NodeId(0), NodeId(1)}
    assert sum(placed[Access.STRUCT_PAGES].values()) == sum(placed[Access.USER].values())


@pytest.mark.parametrize("policy", ["normal", "movable-node", "movablecore=50%"])
def test_what_is_stuck_is_what_the_kernel_cannot_get(policy: str) -> None:
    kernel = boot_under(inputs(), combination(policy))
    pages = open_pages(kernel)
    lay(kernel, pages, LOAD, 5)
    stuck = stuck_free_pages(pages)
    pages.allocate(Request(gfp=GFP_KERNEL, node=NodeId(0), count=1 << 20), PageKind.SLAB)
    left = sum(area.free for area in pages.areas)
    # A per-cpu list is filled a batch at a time, the last one beyond the mark.
    assert abs(left - stuck) <= sum(2 * area.batch + area.cached() for area in pages.areas)


def test_devices_hold_the_share_that_was_asked_for() -> None:
    kernel = boot_under(inputs(), combination("normal"))
    pages = open_pages(kernel)
    homes = lay(kernel, pages, Load(dma_percent=75), 6)
    count = dict.fromkeys(PageKind, 0)
    for holding in pages.holders.holdings.values():
        if holding.owner in homes:
            count[holding.kind] += pages.holders.live(holding) << holding.order
    kernel_pages = sum(
        count[kind] for kind in PageKind if not kind.movable and kind is not PageKind.PAGE_TABLE
    )
    assert count[PageKind.DMA] / kernel_pages == pytest.approx(0.75, abs=0.05)


def test_kernel_memory_that_moves_frees_blocks_and_costs_large_entries() -> None:
    named = Load(name_all=True)
    moving, normal = (
        run_one(Run(inputs=inputs(), combination=combination(policy), load=named, seed=1))
        for policy in ("migrate-kernel", "normal")
    )
    assert moving.placed == normal.placed
    assert moving.out_bytes > normal.out_bytes
    assert (normal.moved_kernel_pages, normal.split_entries) == (0, 0)
    assert moving.moved_kernel_pages >= moving.shootdowns > 0
    assert moving.direct_map[4096] == 512 * moving.split_entries > 0
    mapped = [
        sum(size * count for size, count in one.direct_map.items()) for one in (moving, normal)
    ]
    assert mapped[0] == mapped[1]


def test_what_devices_hold_does_not_move() -> None:
    pinned = run_one(
        Run(
            inputs=inputs(),
            combination=replace(combination("migrate-kernel"), dma_percent=75),
            load=Load(name_all=True),
            seed=1,
        )
    )
    free = run_one(
        Run(
            inputs=inputs(),
            combination=combination("migrate-kernel"),
            load=Load(name_all=True),
            seed=1,
        )
    )
    assert pinned.out_bytes < free.out_bytes
    assert PageKind.DMA.value in pinned.refusals
