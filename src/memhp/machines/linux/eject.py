"""A DIMM taken out from inside: ``1`` is written to ``eject``, and the verdict is read back.

The write says nothing: the kernel does the work later, and where that fails it
tells the firmware alone (``acpi_device_hotplug()``). So the device, its blocks,
the kernel's worker and its log are looked at, until one of them tells.

A device with an online block is never ejected: the kernel would take the
block offline itself, in a worker that no signal reaches, and where another one
then refuses it brings it back with plain ``online``, perhaps in another zone.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from memhp.core.events import StepProgress
from memhp.core.machine import Tell
from memhp.core.outcome import Done, Outcome, Refused, Unanswered
from memhp.core.plan import Step
from memhp.core.words import BlockState
from memhp.machines.linux.devices import ACPI, bound_blocks, is_present
from memhp.machines.linux.hotplug_work import is_hotplug_at_work
from memhp.machines.linux.kernel_log import KernelLog, log_from_now
from memhp.machines.linux.live_write import write_live
from memhp.machines.linux.root import MEMORY, Root

PATIENCE_SECONDS: Final = 60.0
"""How long the verdict is waited for where no deadline is given."""
_LOOK_SECONDS: Final = 0.05
_QUIET_LOOKS: Final = 40
"""The kernel was seen idle so often: what was queued is over, or never was."""
_TELLING: Final = ("Offline failed", "Offline disabled", "Eject incomplete", "Eject disabled")
"""Words of the kernel's log about an eject that failed (``drivers/acpi/scan.c``)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """A clock, a pause, and the one function that writes; tests have their own."""

    clock: Callable[[], float] = time.monotonic
    pause: Callable[[float], None] = time.sleep
    write: Callable[[Root, str, str, float | None], str | None] = write_live


REAL: Final = Outside()


def eject(
    root: Root,
    device: str,
    step: Step,
    *,
    until: float | None,
    tell: Tell,
    outside: Outside = REAL,
) -> Outcome:
    """Eject a device whose blocks are all offline, and read the verdict back.

    ``Unanswered`` where none came before the deadline, or within a minute.
    Raises ``MachineError`` and ``NotSupported``.
    """
    reason = _why_not_now(root, device)
    if reason is not None:
        return Refused(reason=reason)
    until = outside.clock() + PATIENCE_SECONDS if until is None else until
    with log_from_now(root) as log:
        errno_name = outside.write(root, f"{ACPI}/{device}/eject", "1", until)
        if errno_name not in {None, "EINTR"}:
            return Refused(reason=_MEANINGS.get(errno_name or "", _OTHER), errno_name=errno_name)
        return _verdict(_Asked(root=root, device=device, step=step, log=log), until, tell, outside)


_OTHER: Final = "the kernel does not take the request"
_MEANINGS: Final = {
    "ENODEV": "the kernel does not eject it: no driver has it, or ACPI memory hotplug is off",
    "EACCES": "only root may eject it",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """An eject that was asked for."""

    root: Root
    device: str
    step: Step
    log: KernelLog


def _verdict(asked: _Asked, until: float, tell: Tell, outside: Outside) -> Outcome:
    """Look until the device is gone, or the kernel is no longer at it, or time is up."""
    quiet = looks = 0
    needed = 1 if asked.root.mounted is not None else _QUIET_LOOKS
    while True:
        at_work = is_hotplug_at_work(asked.root)
        present = is_present(asked.root, asked.device)
        blocks = bound_blocks(asked.root, asked.device)
        if not present and not blocks:
            return Done(note="the kernel has given its memory up, and it is ejected")
        quiet = quiet + 1 if at_work is False else 0
        if quiet >= needed:
            return Refused(reason=_why_still_there(asked, blocks))
        if outside.clock() >= until:
            return Unanswered(asked=str(asked.step))
        looks += 1
        unit = "the kernel takes it out" if at_work else "looking for the verdict"
        tell(StepProgress(step=asked.step, done=looks, total=None, unit=unit))
        outside.pause(_LOOK_SECONDS)


def _why_not_now(root: Root, device: str) -> str | None:
    """The last look before what cannot be called back."""
    if not is_present(root, device):
        return f"expected {device}: present, and its slot is empty"
    for number in bound_blocks(root, device):
        state = root.text_if_there(f"{MEMORY}/memory{number}/state")
        if state not in {None, BlockState.OFFLINE}:
            return f"memory{number} of it is {state} again, and is never left to the eject"
    return None


def _why_still_there(asked: _Asked, blocks: tuple[int, ...]) -> str:
    said = [line for line in asked.log.lines() if any(word in line for word in _TELLING)]
    told = f" ({said[-1]})" if said else ""
    if not blocks:
        return f"the kernel has given its memory up, and the firmware did not eject it{told}"
    return f"the kernel has ended its try, and the device is still there{told}"
