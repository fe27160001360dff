"""How near the modelled page allocator is to a real one: every figure in docs/fidelity.md.

``python benchmarks/fidelity_pages.py`` judges the recordings that are kept;
with ``--record FOLDER`` it first makes new ones of one kernel, five loads with
three seeds each, in guests of the lab (about five minutes), and three fillings of zones;
with ``--folder FOLDER`` it judges those that lie there.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

from memhp.machines.lab.fill_zones import fill_zones
from memhp.machines.lab.guest import Guest
from memhp.machines.lab.kernels import KERNELS
from memhp.machines.lab.page_program import LOADS
from memhp.machines.lab.record_pages import PageLoad, record_allocations
from memhp.model.allocations.filling import model_filling, read_filling, write_filling
from memhp.model.allocations.judge import Judgement, judge
from memhp.model.allocations.recording import read_allocations, write_allocations
from memhp.model.allocations.replay import replay

KEPT = Path(__file__).parents[1] / "tests/model/allocations/recordings/6.12"
SEEDS = (1, 2, 3)
RATIOS = (None, "32 32 8 0 0", "8 8 4 0 0")


def record_all(folder: Path, kernel: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in LOADS:
        for seed in SEEDS:
            recording = record_allocations(
                PageLoad(name=name, seed=seed, kernel=kernel), Guest(f"pages-{name}-{seed}")
            )
            write_allocations(recording, folder / f"{name}-{seed}.json.xz")
    for number, ratio in enumerate(RATIOS, 1):
        filling = fill_zones(Guest("filling"), ratio, kernel=kernel)
        write_filling(filling, folder / f"filling-{number}.json")


def judgements(folder: Path) -> Iterator[Judgement]:
    for file in sorted(folder.glob("*.json.xz")):
        recording = read_allocations(file)
        yield judge(recording, replay(recording))


def show_judgements(judged: list[Judgement]) -> None:
    print(
        "| load | seed | unmovable pages | pageblocks: real | model | off | beyond: real | model |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for one in judged:
        print(
            f"| {one.workload} | {one.seed} | {one.pages:,} | {one.recorded} | {one.modelled} "
            f"| {one.off_by:.1%} | {one.recorded_beyond} | {one.modelled_beyond} |"
        )
    types = "Unmovable, Movable, Reclaimable"
    print(f"\n| load | seed | {types}: real | model | free 2 MiB: real | model |")
    print("|---|---|---|---|---|---|")
    for one in judged:
        pairs = [one.pageblocks_by_type[name] for name in types.split(", ")]
        real, model = (", ".join(str(pair[side]) for pair in pairs) for side in (0, 1))
        free = " | ".join(map(str, one.free_2mib_ranges))
        print(f"| {one.workload} | {one.seed} | {real} | {model} | {free} |")
    print("\nmemory blocks judged differently:")
    blocks = [(one, block) for one in judged for block in one.blocks]
    different = [(one, block) for one in judged for block in one.differently]
    for one, block in different:
        print(
            f"- {one.workload} {one.seed}: memory{block.block}: by the kernel's pages "
            f"{'can' if block.by_flags else 'cannot'} go offline, in the model "
            f"{'can' if block.by_model else 'cannot'}; "
            f"the kernel, asked, said {block.kernel or 'yes'}"
        )
    agreed = sum(block.by_flags == (block.kernel in {None, "EINTR"}) for _, block in blocks)
    print(f"{len(different)} of {len(blocks)}")
    print(f"the kernel's own verdict follows from its pages in {agreed} of {len(blocks)}")


def show_fillings(folder: Path) -> None:
    print("\n| lowmem_reserve_ratio | order | left: real | model |")
    print("|---|---|---|---|")
    for file in sorted(folder.glob("filling-*.json")):
        real = read_filling(file)
        model = model_filling(real)
        same = "the same" if real.order() == model.order() else " > ".join(model.order())
        left = [", ".join(f"{z} {n}" for z, n in one.left().items()) for one in (real, model)]
        print(f"| {real.ratio} | {' > '.join(real.order())}; {same} | {left[0]} | {left[1]} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--record", type=Path, metavar="FOLDER", help="make new recordings there")
    parser.add_argument("--kernel", choices=KERNELS, default=KERNELS[0], help="which to record")
    parser.add_argument("--folder", type=Path, default=KEPT, help="judge the recordings there")
    args = parser.parse_args()
    folder = args.record or args.folder
    if args.record:
        record_all(folder, args.kernel)
    show_judgements(list(judgements(folder)))
    show_fillings(folder)


if __name__ == "__main__":
    main()
