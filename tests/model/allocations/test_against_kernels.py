"""The modelled allocator against what a real kernel's did, recording by recording."""

from pathlib import Path

import pytest

from memhp.model.allocations.filling import Filling, model_filling, read_filling, write_filling
from memhp.model.allocations.judge import TOLERANCE, Judgement, judge, unmovable_at_end
from memhp.model.allocations.recording import read_allocations
from memhp.model.allocations.replay import replay
from memhp.model.profile import profile_like

FOLDER = Path(__file__).parent / "recordings"
KERNELS = ("6.1", "6.12")
RECORDINGS = sorted(FOLDER.glob("*/*.json.xz"))
FILLINGS = sorted(FOLDER.glob("*/filling-*.json"))
JUDGED_DIFFERENTLY = {
    ("6.12", "anon", 3): [4],
    ("6.12", "cache", 1): [4],
    ("6.12", "cache", 2): [4],
    ("6.12", "mixed", 3): [4],
}
"""Blocks in which the kernel put an unmovable page and the model none, or the other way round."""


def _name(file: Path) -> str:
    return f"{file.parent.name}/{file.name.partition('.')[0]}"


@pytest.fixture(scope="module", params=RECORDINGS, ids=_name)
def judged(request: pytest.FixtureRequest) -> Judgement:
    recording = read_allocations(request.param)
    return judge(recording, replay(recording))


def test_there_are_five_loads_with_three_seeds_each_and_a_few_of_an_older_kernel() -> None:
    loads = ("anon", "cache", "fork", "mixed", "slab")
    every = [f"6.12/{load}-{seed}" for load in loads for seed in (1, 2, 3)]
    few = ["6.1/fork-1", "6.1/slab-1", "6.1/slab-2", "6.1/slab-3"]
    assert [_name(file) for file in RECORDINGS] == [*few, *every]


def test_pageblocks_with_an_unmovable_page_are_as_many_within_a_tenth(judged: Judgement) -> None:
    assert judged.recorded > 0
    assert judged.off_by <= TOLERANCE


def test_memory_blocks_judged_differently_are_the_known_ones(judged: Judgement) -> None:
    key = (profile_like(judged.kernel).name, judged.workload, judged.seed)
    known = JUDGED_DIFFERENTLY.get(key, [])
    assert [verdict.block for verdict in judged.differently] == known


def test_flags_say_what_the_kernel_said_when_asked(judged: Judgement) -> None:
    """Where no unmovable page lies the kernel succeeds, or goes on for ever for want of room."""
    for verdict in judged.blocks:
        assert verdict.by_flags == (verdict.kernel in {None, "EINTR"})


def test_the_model_gave_all_that_the_kernel_gave() -> None:
    recording = read_allocations(FOLDER / "6.12/slab-1.json.xz")
    played = replay(recording)
    _, given = unmovable_at_end(recording)
    assert played.refused_pages == 0
    assert set(given) <= set(played.model_of)
    assert len(set(played.model_of.values())) == len(played.model_of)


@pytest.mark.parametrize("file", FILLINGS, ids=_name)
def test_zones_fill_in_the_kernels_order(file: Path) -> None:
    recorded = read_filling(file)
    modelled = model_filling(recorded)
    assert modelled.order() == recorded.order()


@pytest.mark.parametrize("file", FILLINGS, ids=_name)
def test_lowmem_reserve_keeps_as_much_free(file: Path) -> None:
    """Page tables, of which the model knows nothing here, take the rest: 1 of 512 pages."""
    recorded = read_filling(file)
    real, model = recorded.left(), model_filling(recorded).left()
    taken = sum(zone.free for zone in recorded.zones) - sum(real.values())
    for zone in recorded.zones:
        assert abs(real[zone.zone] - model[zone.zone]) <= max(64, taken // 128)


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_higher_ratio_keeps_more(kernel: str) -> None:
    files = [file for file in FILLINGS if file.parent.name == kernel]
    left = [read_filling(file).left()["Normal"] for file in files]
    assert left == sorted(left)
    assert left[0] < left[-1]


def test_a_filling_is_written_and_read(tmp_path: Path) -> None:
    filling: Filling = read_filling(FILLINGS[0])
    write_filling(filling, tmp_path / "a.json")
    assert read_filling(tmp_path / "a.json") == filling
