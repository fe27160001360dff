"""One run: boot a machine under a policy, put the load on it, take out what can be taken out."""

from dataclasses import dataclass, replace
from typing import Final

from memhp.core.geometry import MIB, PAGE_SIZE_BYTES, NodeId, bytes_of
from memhp.core.words import ZoneType
from memhp.model.boot_inputs import BootInputs
from memhp.model.compare.facts import Combination, Facts
from memhp.model.compare.load import Load, homes_in, lay
from memhp.model.compare.placement import placed_pages
from memhp.model.compare.policies import parse_policy
from memhp.model.compare.taking_out import take_out, wanted_blocks
from memhp.model.kernel import Kernel
from memhp.model.page_tables import Leaf
from memhp.model.pages.build import open_pages
from memhp.model.pages.machine_pages import MachinePages
from memhp.model.pages.run_workload import run_workload
from memhp.model.pages.words import MAX_ORDER, PAGEBLOCK_ORDER
from memhp.model.workload import Workload

_IN_THE_BLOCK: Final = "memory_hotplug.memmap_on_memory=1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What to run: a machine and what it is called, a combination, a load and its seed.

    With a ``workload`` that is done instead of the load.
    """

    machine: str = ""
    inputs: BootInputs
    combination: Combination
    load: Load
    seed: int
    workload: Workload | None = None


def run_one(job: Run) -> Facts:
    """Run it; deterministic in its arguments. Raises ``CannotPlan`` where nothing can boot."""
    kernel = boot_under(job.inputs, job.combination)
    pages = open_pages(kernel)
    homes, missing = _fill(kernel, pages, job)
    placed = placed_pages(kernel, pages, homes)
    free_2mib = free_2mib_ranges(pages)
    stuck = stuck_free_pages(pages)
    wanted = wanted_blocks(kernel)
    out = take_out(kernel, pages, wanted)
    return Facts(
        combination=job.combination,
        seed=job.seed,
        cpus=sum(kernel.firmware.cpus.values()) or len(kernel.firmware.cpu_nodes),
        total_bytes=len(wanted) * kernel.block_size_bytes,
        out_bytes=out.blocks * kernel.block_size_bytes,
        blocks_out=out.blocks,
        refusals=dict(out.refusals),
        placed=placed,
        stuck_free_bytes=bytes_of(stuck),
        direct_map=direct_map(kernel),
        moved_user_pages=out.moved_user,
        moved_kernel_pages=sum(pages.costs.copied.values()),
        shootdowns=pages.costs.shootdowns,
        split_entries=pages.costs.split_units,
        free_2mib_ranges=free_2mib,
        missing_pages=missing,
    )


def _fill(kernel: Kernel, pages: MachinePages, job: Run) -> tuple[dict[str, NodeId], int]:
    """Let the load or the workload run; gives each owner's node, and the pages not to be had."""
    if job.workload is not None:
        missing = run_workload(kernel, replace(job.workload, seed=job.seed))
        return homes_in(kernel, job.workload), missing
    load = replace(job.load, dma_percent=job.combination.dma_percent)
    return lay(kernel, pages, load, job.seed), 0


def boot_under(inputs: BootInputs, combination: Combination) -> Kernel:
    """Boot a machine under a combination's policy and settings."""
    policy = parse_policy(combination.policy)
    in_block = combination.memmap == "block"
    words = [_IN_THE_BLOCK if in_block else "", policy.command_line(inputs.line.text)]
    proposals = replace(
        inputs.proposals,
        memmap_on_node=combination.memmap == "node",
        migrate_vmalloc=combination.migrate_vmalloc,
        migrate_kernel=policy.migrate_kernel,
    )
    changed = inputs.with_command_line(" ".join(filter(None, words)))
    return replace(changed, proposals=proposals).boot()


def free_2mib_ranges(pages: MachinePages) -> int:
    """Count the free ranges of 2 MiB."""
    return sum(
        area.nr_free(order) << (order - PAGEBLOCK_ORDER)
        for area in pages.areas
        for order in range(PAGEBLOCK_ORDER, MAX_ORDER + 1)
    )


def stuck_free_pages(pages: MachinePages) -> int:
    """What is still free when single pages of the kernel's (``GFP_KERNEL``) can no longer be had.

    A zone gives them until its minimum and what it keeps from requests for
    Normal are left (``__zone_watermark_ok()``); ``ZONE_MOVABLE`` gives none.
    """
    order = ZoneType.NORMAL.order
    stuck = 0
    for area in pages.areas:
        kept = area.marks.minimum + area.marks.reserve[order]
        takes = area.zone.holds_kernel_memory
        stuck += min(area.free, kept) if takes else area.free + area.cached()
    return stuck


def direct_map(kernel: Kernel) -> dict[int, int]:
    """Count the direct map's entries by their size in bytes."""
    sizes = {leaf: leaf * 2 * MIB or PAGE_SIZE_BYTES for leaf in Leaf}
    return {size: kernel.page_tables.direct_bytes(leaf) // size for leaf, size in sizes.items()}
