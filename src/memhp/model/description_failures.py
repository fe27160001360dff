"""Failures that a description asks for: what cannot move, what errs, what is poisoned."""

import errno
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypedDict

from memhp.core.geometry import PAGE_SHIFT, pages_of
from memhp.core.ranges import PhysRange
from memhp.model.description_table import Table
from memhp.model.firmware import Dimm
from memhp.model.kernel import Kernel
from memhp.model.notifiers import INJECTABLE
from memhp.model.silence import NEVER

_KINDS = ("unmovable", "pinned", "notifier", "poisoned", "silent")
_PLACED_KEYS = ("blocks", "addresses", "dimm", "what")
_NOTIFIER_KEYS = ("event", "errno")
_POISONED_KEYS = ("address", "dimm", "pages")
_SILENT_KEYS = ("device", "changes")
_MOST_PAGES: Final = 4096
_BLOCKS = re.compile(r"\d{1,9}(?:-\d{1,9})?(?:,\d{1,9}(?:-\d{1,9})?)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmovable:
    """Something in these blocks cannot move; ``what`` names it in the kernel's words."""

    blocks: tuple[range, ...]
    what: str

    def apply(self, kernel: Kernel) -> None:
        """Put it into the blocks that are there."""
        kernel.unmovable |= _in_blocks(kernel, self.blocks, self.what)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pinned:
    """Pages in these blocks look movable and never move; ``what`` says who holds them."""

    blocks: tuple[range, ...]
    what: str

    def apply(self, kernel: Kernel) -> None:
        """Put it into the blocks that are there."""
        kernel.pinned |= _in_blocks(kernel, self.blocks, self.what)


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifierError:
    """A notifier vetoes an event with an errno, which is above zero here."""

    event: str
    errno: int

    def apply(self, kernel: Kernel) -> None:
        """Let the event fail from now on."""
        kernel.notifier_errors[self.event] = -self.errno


@dataclass(frozen=True, slots=True, kw_only=True)
class Poisoned:
    """Pages in which the hardware has found errors that it could not correct."""

    pfns: tuple[int, ...]

    def apply(self, kernel: Kernel) -> None:
        """Poison the pages and count them."""
        kernel.poison_counter += len(set(self.pfns) - kernel.poisoned)
        kernel.poisoned |= set(self.pfns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Silent:
    """The guest does not answer what the host asks about a device until so many changes later."""

    device: str
    changes: int

    def apply(self, kernel: Kernel) -> None:
        """Let it be silent from now on."""
        slot = kernel.slots.get(self.device)
        device = kernel.virtio_mem[self.device] if slot is None else slot
        device.answers_after = self.changes


Failure = Unmovable | Pinned | NotifierError | Poisoned | Silent


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What failures may name: memory by address, DIMMs, and every device."""

    block_size_bytes: int
    present: tuple[PhysRange, ...]
    dimms: tuple[Dimm, ...]
    devices: tuple[str, ...] = ()

    def overlaps(self, wanted: PhysRange) -> bool:
        """Tell whether there is memory at boot in the range."""
        return any(part.overlaps(wanted) for part in self.present)


def read_failures(table: Table, ground: Ground) -> tuple[Failure, ...]:
    """Read ``[failures]``; raises ``DescriptionError``."""
    table.only(_KINDS)
    readers: tuple[tuple[str, Callable[[Table, Ground], Failure]], ...] = (
        ("unmovable", lambda table, ground: Unmovable(**_placed(table, ground))),
        ("pinned", lambda table, ground: Pinned(**_placed(table, ground))),
        ("notifier", _notifier),
        ("poisoned", _poisoned),
        ("silent", _silent),
    )
    return tuple(read(one, ground) for kind, read in readers for one in table.tables(kind))


class _Placed(TypedDict):
    """What lies in some blocks."""

    blocks: tuple[range, ...]
    what: str


def _placed(table: Table, ground: Ground) -> _Placed:
    table.only(_PLACED_KEYS)
    what = table.text("what")
    place = _only_one_of(table, ("blocks", "addresses", "dimm"))
    match place:
        case "blocks":
            blocks = _blocks(table)
        case "addresses":
            blocks = (table.addresses("addresses").blocks_touched(ground.block_size_bytes),)
        case _:
            first = _range_of(table, ground).start // ground.block_size_bytes
            blocks = (range(first, first + 1),)
    for numbers in blocks:
        wanted = PhysRange.at(
            numbers.start * ground.block_size_bytes, len(numbers) * ground.block_size_bytes
        )
        if not ground.overlaps(wanted):
            raise table.error(
                place, "names blocks that the machine does not have at boot", _what_is_there(ground)
            )
    return {"blocks": blocks, "what": what}


def _in_blocks(kernel: Kernel, blocks: tuple[range, ...], what: str) -> dict[int, str]:
    """The same content for those of the blocks that are there."""
    found: dict[int, str] = {}
    for numbers in blocks:
        for run in kernel.blocks.within(numbers.start, numbers.stop):
            found |= dict.fromkeys(range(run.start, run.end), what)
    return found


def _blocks(table: Table) -> tuple[range, ...]:
    if table.is_whole_number("blocks"):
        number = table.count("blocks", least=0, most=999_999_999)
        return (range(number, number + 1),)
    text = table.text("blocks")
    allowed = 'give a number or a list as "40-41,44"'
    if not _BLOCKS.fullmatch(text) or not text.isascii():
        raise table.error("blocks", "is no list of blocks", allowed)
    found = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        if int(last or first) < int(first):
            raise table.error("blocks", "counts backwards", allowed)
        found.append(range(int(first), int(last or first) + 1))
    return tuple(found)


def _notifier(table: Table, _ground: Ground) -> NotifierError:
    table.only(_NOTIFIER_KEYS)
    names = tuple(errno.errorcode.values())
    event = table.word("event", INJECTABLE)
    name = table.text("errno")
    if name not in names:
        raise table.error("errno", "is no errno", 'give its name, as "EBUSY" or "ENOMEM"')
    return NotifierError(event=event, errno=getattr(errno, name))


def _poisoned(table: Table, ground: Ground) -> Poisoned:
    table.only(_POISONED_KEYS)
    nr_pages = table.count("pages", 1, least=1, most=_MOST_PAGES)
    if _only_one_of(table, ("address", "dimm")) == "dimm":
        where = _range_of(table, ground)
        step = max(1, pages_of(where.size_bytes) // nr_pages)
        first = pages_of(where.start)
        return Poisoned(pfns=tuple(first + place * step for place in range(nr_pages)))
    start = table.address("address")
    wanted = PhysRange.at(start, nr_pages << PAGE_SHIFT)
    if not any(part.start <= start and wanted.end <= part.end for part in ground.present):
        raise table.error("address", "is no memory at boot", _what_is_there(ground))
    return Poisoned(pfns=tuple(range(pages_of(start), pages_of(start) + nr_pages)))


def _silent(table: Table, ground: Ground) -> Silent:
    table.only(_SILENT_KEYS)
    name = table.text("device")
    if name not in ground.devices:
        known = ", ".join(ground.devices) or "none"
        raise table.error("device", "is not described", f"devices that are: {known}")
    changes = table.count("changes", least=1, most=999) if "changes" in table else NEVER
    return Silent(device=name, changes=changes)


def _only_one_of(table: Table, keys: tuple[str, ...]) -> str:
    given = [key for key in keys if key in table]
    if len(given) != 1:
        raise table.error(
            given[1] if given else None,
            "names its place twice" if given else "names no place",
            f"give one of {', '.join(keys)}",
        )
    return given[0]


def _range_of(table: Table, ground: Ground) -> PhysRange:
    """The addresses of the DIMM that a failure names."""
    present = {dimm.name: dimm for dimm in ground.dimms if dimm.present}
    name = table.text("dimm")
    if name not in present:
        known = ", ".join(present) or "none"
        raise table.error("dimm", "is not there at boot", f"DIMMs that are: {known}")
    return PhysRange.at(present[name].start or 0, present[name].size_bytes)


def _what_is_there(ground: Ground) -> str:
    places = ", ".join(
        f"{part} (memory{part.blocks_touched(ground.block_size_bytes)[0]} on)"
        for part in sorted(ground.present)[:4]
    )
    return f"there is memory at {places}"
