"""Memory of a dax device given to the kernel and taken back: bound to kmem, and unbound.

Unbinding always ends well, and where a block is online the memory then stays
until the next boot (``dev_dax_kmem_remove()``). So it is never asked for while
one is.
"""

import os
from collections.abc import Callable, Iterator
from typing import Final

from memhp.core.outcome import Done, Outcome, Refused
from memhp.core.words import BlockState
from memhp.machines.linux.devices import DAX, dax_ranges, driver_of
from memhp.machines.linux.kernel_log import log_from_now
from memhp.machines.linux.list_blocks import read_block_size
from memhp.machines.linux.live_write import write_live
from memhp.machines.linux.root import MEMORY, Root

KMEM: Final = "kmem"
DRIVERS: Final = "sys/bus/dax/drivers"
Write = Callable[[Root, str, str, float | None], str | None]
"""Writes a word to a file; returns the errno's name, or ``None`` where it went well."""
_STAYS: Final = "cannot be hotremoved"


def unbind(root: Root, device: str, until: float | None, *, write: Write = write_live) -> Outcome:
    """Take the device's memory out of the kernel; raises ``MachineError``, ``NotSupported``."""
    if driver_of(root, device) != KMEM:
        return Refused(reason=f"expected {device}: present, and its driver is not {KMEM}")
    blocks = tuple(_blocks(root, device))
    if not blocks:
        return Refused(reason=f"which blocks are those of {device} cannot be seen")
    for number, state in _states(root, blocks):
        if state != BlockState.OFFLINE:
            return Refused(reason=f"memory{number} of it is {state}, and would stay until a boot")
    with log_from_now(root) as log:
        errno_name = write(root, f"{DRIVERS}/{KMEM}/unbind", device, until)
        left = [number for number, _ in _states(root, blocks)]
        if driver_of(root, device) == KMEM:
            return Refused(reason=f"{KMEM} does not let it go", errno_name=errno_name)
        if left:
            said = next((line for line in log.lines() if _STAYS in line), f"memory{left[0]} stays")
            return Refused(reason=f"unbound, and its memory stays until the next boot ({said})")
    return Done(note="the kernel has given its memory up")


def bind(root: Root, device: str, until: float | None, *, write: Write = write_live) -> Outcome:
    """Give the device's memory to the kernel; raises ``MachineError`` and ``NotSupported``."""
    driver = driver_of(root, device)
    if driver and driver != KMEM:
        errno_name = write(root, f"{DRIVERS}/{driver}/unbind", device, until)
        if errno_name is not None:
            return Refused(reason=f"{driver} does not let it go", errno_name=errno_name)
    errno_name = write(root, f"{DRIVERS}/{KMEM}/bind", device, until)
    if driver_of(root, device) != KMEM:
        # A driver of dax devices takes those alone of which it was told.
        errno_name = write(root, f"{DRIVERS}/{KMEM}/new_id", device, until)
    if driver_of(root, device) != KMEM:
        return Refused(reason=f"{KMEM} does not take it", errno_name=errno_name)
    numbers = [number for number, _ in _states(root, tuple(_blocks(root, device)))]
    return Done(note=f"{len(numbers)} blocks have come")


def why_not(root: Root, device: str) -> str | None:
    """What keeps kmem from taking a device, or from letting it go."""
    if not os.path.isdir(root.path(f"{DAX}/{device}")):
        return f"there is no dax device '{device}'"
    if not os.path.isdir(root.path(f"{DRIVERS}/{KMEM}")):
        return f"load the driver first, with 'modprobe {KMEM}'"
    return None


def file_to_write(*, comes: bool) -> str:
    """The file by which a device comes or goes, below the root."""
    return f"{DRIVERS}/{KMEM}/{'bind' if comes else 'unbind'}"


def _blocks(root: Root, device: str) -> Iterator[int]:
    """The blocks that lie in the device whole: kmem leaves the rest (``dax_kmem_range()``)."""
    size = read_block_size(root)
    for part in dax_ranges(root, device):
        yield from range(-(-part.start // size), part.end // size)


def _states(root: Root, blocks: tuple[int, ...]) -> Iterator[tuple[int, str]]:
    """The state of each block that is there."""
    for number in blocks:
        state = root.text_if_there(f"{MEMORY}/memory{number}/state")
        if state is not None:
            yield number, state
