"""Hints: where a kernel zone held something that cannot move, by what a kernel refused.

What the pages of a kernel zone hold cannot be known from outside. A hint is
taken only where the model alone would have said yes, and only for such zones;
of several explanations the smallest is taken.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, combinations, islice
from typing import Final

from memhp.core.geometry import PAGE_SHIFT
from memhp.core.words import BlockState, ZoneType
from memhp.model.acpi_memory import eject
from memhp.model.kernel import Kernel
from memhp.model.steps import run
from memhp.model.trace.recording import Remove, Resize
from memhp.model.tree.memory import block_number
from memhp.model.virtio_mem import resize

_MEMORY: Final = "/sys/devices/system/memory"
_POISONING: Final = ("hard_offline_page", "soft_offline_page")
_MOST_TRIALS: Final = 1000
"""Explanations that are tried; all of ten blocks."""
_WHAT: Final = "what a recording says a kernel zone held"


def hint_of_write(
    kernel: Kernel, path: str, value: str, refused: str, errno_of: Callable[[Kernel], str | None]
) -> None:
    """Put what cannot move where a write was refused; ``errno_of`` tries it on a copy."""
    name = path.removeprefix(f"{_MEMORY}/").partition("/")[0]
    try:
        pfn = int(value, 0) >> PAGE_SHIFT if name in _POISONING else None
    except ValueError:
        return
    number = block_number(name) if pfn is None else pfn // kernel.pages_per_block
    if number is None or not _is_online_in_kernel_zone(kernel, number):
        return
    if errno_of(copy.deepcopy(kernel)) == refused:
        return
    if pfn is None:
        kernel.unmovable[number] = _WHAT
    else:
        kernel.held.add(pfn)


def hint_of_removal(kernel: Kernel, step: Remove) -> None:
    """Put what cannot move into the smallest set of the device's blocks that explains a refusal."""
    if step.refused_with is None:
        return
    slot = kernel.slots[step.device]
    numbers = kernel.blocks_of(slot.range) if slot.enabled else range(0)
    candidates = [number for number in numbers if _is_online_in_kernel_zone(kernel, number)]
    for held in _subsets(candidates, len(candidates)):
        trial = copy.deepcopy(kernel)
        trial.unmovable |= dict.fromkeys(held, _WHAT)
        verdict = run(eject(trial, trial.slots[step.device]))
        if verdict.ost != 0 and _online(trial) == step.refused_with:
            kernel.unmovable |= dict.fromkeys(held, _WHAT)
            return


def hint_of_resize(kernel: Kernel, step: Resize) -> None:
    """Put what cannot move where a device kept more than it should have.

    They lie in the smallest set of its blocks with which the same blocks stay
    online: in none where the model alone ends with as much.
    """
    if not step.kept_bytes:
        return
    device = kernel.virtio_mem[step.device]
    candidates = [n for n in sorted(device.plugged) if _is_online_in_kernel_zone(kernel, n)]
    nr_kept = step.kept_bytes // device.sub_block_bytes
    for numbers in _subsets(candidates, nr_kept):
        held = _spread(numbers, nr_kept)
        trial = copy.deepcopy(kernel)
        shrunk = trial.virtio_mem[step.device]
        shrunk.held = held
        plugged = run(resize(trial, shrunk, step.size_bytes))
        if plugged - step.size_bytes == step.kept_bytes and _online(trial) == step.kept_online:
            device.held = held
            return


def forget_hints(kernel: Kernel) -> None:
    """A hint holds for one step."""
    kernel.unmovable.clear()
    kernel.held.clear()
    for device in kernel.virtio_mem.values():
        device.held = {}


def _subsets(candidates: Sequence[int], most: int) -> Iterator[tuple[int, ...]]:
    """Sets of so many candidates at most, the smallest first, and no more than can be tried."""
    sizes = range(min(len(candidates), most) + 1)
    every = chain.from_iterable(combinations(candidates, size) for size in sizes)
    return islice(every, _MOST_TRIALS)


def _spread(numbers: tuple[int, ...], nr_kept: int) -> dict[int, int]:
    """Bits for one sub-block in each block, and for all the others in the first."""
    held = dict.fromkeys(numbers, 1)
    if numbers:
        held[numbers[0]] = (1 << nr_kept - len(numbers) + 1) - 1
    return held


def _online(kernel: Kernel) -> frozenset[int]:
    return frozenset(
        number
        for run_ in kernel.blocks
        if run_.value.state is BlockState.ONLINE
        for number in range(run_.start, run_.end)
    )


def _is_online_in_kernel_zone(kernel: Kernel, number: int) -> bool:
    block = kernel.blocks.get(number)
    return (
        block is not None
        and block.state is BlockState.ONLINE
        and block.zone is not None
        and block.zone is not ZoneType.MOVABLE
    )
