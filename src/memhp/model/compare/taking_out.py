"""Take memory out, block by block, as far as the kernel lets it go."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from memhp.core.geometry import PAGES_PER_PAGEBLOCK
from memhp.core.words import BlockState
from memhp.model.hosted_structures import structure_of_others
from memhp.model.kernel import Kernel
from memhp.model.offline import device_offline
from memhp.model.page_level import Obstacle
from memhp.model.pages.machine_pages import MachinePages
from memhp.model.pages.migrate import movable_heads, pages_in
from memhp.model.steps import KernelRefusal, run

NO_ROOM: Final = "no room elsewhere"
PINNED: Final = "pinned pages"


@dataclass(slots=True, kw_only=True)
class TakenOut:
    """How many blocks went, what kept the others, and how many user pages moved for it.

    What of the kernel's moved is in ``MachinePages.costs``.
    """

    blocks: int = 0
    refusals: Counter[str] = field(default_factory=Counter)
    moved_user: int = 0


def wanted_blocks(kernel: Kernel) -> tuple[int, ...]:
    """The blocks that are meant to come out, the highest first.

    Those of memory devices and of boot memory that the firmware calls
    hot-pluggable; where a machine has neither, every block.
    """
    ranges = [slot.range for slot in kernel.slots.values() if slot.enabled]
    ranges += [device.region for device in kernel.virtio_mem.values()]
    ranges += [entry.range for entry in kernel.firmware.affinities if entry.hotpluggable]
    inside = {number for part in ranges for number in kernel.blocks_of(part)}
    every = {
        number
        for span in kernel.blocks
        if span.value.state is BlockState.ONLINE
        for number in range(span.start, span.end)
    }
    return tuple(sorted(inside & every or every, reverse=True))


def take_out(kernel: Kernel, pages: MachinePages, blocks: Sequence[int]) -> TakenOut:
    """Take each block offline in turn; one that refuses stays, and the next is tried."""
    out = TakenOut()
    for number in blocks:
        before = _held(pages, kernel, number)
        obstacle = _obstacle(kernel, pages, number)
        try:
            run(device_offline(kernel, number))
        except KernelRefusal as refusal:
            out.refusals[obstacle.what if obstacle else _reason(refusal)] += 1
            after = _held(pages, kernel, number)
        else:
            out.blocks += 1
            after = 0
        out.moved_user += before - after
    return out


def _obstacle(kernel: Kernel, pages: MachinePages, number: int) -> Obstacle | None:
    """What stands in the way before anything is tried."""
    block = kernel.blocks.get(number)
    if block is not None and block.hosts and not kernel.settings.migrate_kernel:
        hosted = structure_of_others(kernel, number)
        if hosted is not None:
            return hosted
    return pages.obstacle(*kernel.block_pfns(number))


def _reason(refusal: KernelRefusal) -> str:
    """The refusal without the figures of this one block."""
    if NO_ROOM in refusal.reason:
        return NO_ROOM
    return PINNED if "pinned" in refusal.reason else refusal.reason


def _held(pages: MachinePages, kernel: Kernel, number: int) -> int:
    """How many pages of a block users hold."""
    start, end = kernel.block_pfns(number)
    if pages.frames.zone[start // PAGES_PER_PAGEBLOCK] == 0:
        return 0
    return pages_in(pages, movable_heads(pages, start, end))
