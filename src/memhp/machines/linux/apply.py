"""The logical phase of a Linux machine: a word written to a block's ``state``, and read back.

How files are read and written is left to the caller: this host's own files,
or a guest's over a wire.
"""

from collections.abc import Callable

from memhp.core.errors import NotSupported
from memhp.core.outcome import Done, Outcome, Refused, Unanswered
from memhp.core.plan import ExpectBlock, OfflineBlock, OnlineBlock, Step
from memhp.core.words import BlockState, OnlineType, ZoneType
from memhp.machines.linux.live_write import HELD
from memhp.machines.linux.root import MEMORY

Read = Callable[[str], str | None]
"""Reads a file below the root as text; ``None`` where there is none."""
Write = Callable[[str, str], str | None]
"""Writes a word to a file; returns the errno's name, ``None`` where it went well, or ``HELD``."""
_MANY_ZONES = "none"


def apply_logical(step: Step, *, machine: str, read: Read, write: Write) -> Outcome:
    """Carry out one step; raises ``NotSupported`` for one of the physical phase."""
    match step.action:
        case OnlineBlock(block=number, online_type=word):
            wanted = BlockState.ONLINE
        case OfflineBlock(block=number):
            word, wanted = OnlineType.OFFLINE, BlockState.OFFLINE
        case _:
            raise NotSupported(
                machine=machine,
                operation=str(step),
                advice="the physical phase is done from outside, by the host or by hand",
            )
    folder = f"{MEMORY}/memory{number}"
    changed = _not_as_expected(step, folder, read)
    if changed is not None:
        return Refused(reason=changed)
    zones = read(f"{folder}/valid_zones") or ""
    errno_name = write(f"{folder}/state", word)
    state = read(f"{folder}/state")
    if state == wanted:
        zone = read(f"{folder}/valid_zones") if wanted is BlockState.ONLINE else None
        return _done(word, zone)
    if errno_name == HELD:
        return Unanswered(
            asked=str(step),
            why=f"still held by the kernel: told to let go of memory{number}, it has not",
        )
    if errno_name is None:
        return Refused(reason=f"the kernel took '{word}', and memory{number} is {state}")
    if wanted is BlockState.OFFLINE:
        removable = read(f"{folder}/removable")
        reason = _why_not_offline(errno_name, zones, can_remove=removable != "0" or not zones)
        return Refused(reason=reason, errno_name=errno_name)
    return Refused(reason=f"the kernel refused '{word}'", errno_name=errno_name)


def _done(word: OnlineType, zone: str | None) -> Outcome:
    """What is so is done, unless it is online in another zone than the word asks for.

    The kernel refuses rather than choose another zone: somebody else was
    faster. (To an online block every online word is EINVAL, ``device_online()``.)
    """
    if zone in set(ZoneType) and not _fits(word, ZoneType(zone)):
        return Refused(
            reason=f"it is online in {zone} by now, and '{word}' was asked for: another program "
            "onlines memory here"
        )
    return Done(note=f"in {zone}" if zone else "")


def _fits(word: OnlineType, zone: ZoneType) -> bool:
    if word is OnlineType.ONLINE_MOVABLE:
        return zone is ZoneType.MOVABLE
    return word is not OnlineType.ONLINE_KERNEL or zone.holds_kernel_memory


def _why_not_offline(errno_name: str, zones: str, *, can_remove: bool) -> str:
    """What the errno of an offline says by itself.

    An online block is refused with EINVAL for two reasons only
    (``offline_pages()``), and its zones tell which; EBUSY has several. A kernel
    without hot remove says EINVAL to every block, and 0 in ``removable``, which
    is the same for all blocks since 5.10 (``removable_show()``).
    """
    match errno_name:
        case "EINVAL" if not can_remove and zones != _MANY_ZONES:
            return "this kernel was built without hot remove (CONFIG_MEMORY_HOTREMOVE)"
        case "EACCES" | "EPERM":
            return "only root may do that"
        case "EINVAL":
            return "multizone range" if zones == _MANY_ZONES else "memory holes"
        case "EBUSY":
            return "pages in it cannot be moved, or are held"
        case "EINTR":
            return "signal backoff"
    return "the kernel refused it"


def _not_as_expected(step: Step, folder: str, read: Read) -> str | None:
    """Hold the block against what the step expects of it, just before it."""
    if not isinstance(step.expect, ExpectBlock):
        return None
    state = read(f"{folder}/state")
    zones = read(f"{folder}/valid_zones") or ""
    zone = None if state == BlockState.OFFLINE or zones == _MANY_ZONES else zones
    if (state, zone or None) == (step.expect.state, step.expect.zone):
        return None
    found = "it is gone" if state is None else f"{state}, {zones}"
    return f"expected {step.expect}, found {found}"
