"""The state of a modelled kernel as named parts of text, and back.

Every field of ``Kernel`` belongs to one part; a change rewrites only the parts
that it touched. Uevents and the kernel's log are no state but what happened:
they go into the log of the state file, and a kernel that is loaded has none.
"""

import json
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Final

from memhp.model.codec import CodecError, Convert, decoder, encoder, field_types
from memhp.model.kernel import Kernel
from memhp.model.uevents import Uevent

PARTS: Final[Mapping[str, tuple[str, ...]]] = {
    # Fixed when the kernel boots: written once.
    "machine": (
        "profile",
        "firmware",
        "line",
        "proposals",
        "block_size_bytes",
        "regions",
        "possible_nodes",
    ),
    "settings": ("settings", "running", "hotplug_lock"),
    "nodes": ("online_nodes", "max_pfn"),
    "zones": ("zones",),
    "blocks": ("blocks", "groups", "next_group"),
    "devices": ("slots", "virtio_mem"),
    "iomem": ("iomem",),
    "mappings": ("page_tables", "hosted"),
    "faults": ("unmovable", "poisoned", "poison_counter", "notifier_errors", "own_pages_block"),
    "counters": ("seqnum",),
}
HAPPENED: Final = frozenset({"uevents", "log"})
"""Fields that are kept in the log and not in the state."""
_DAMAGE = (CodecError, ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError)

FoldedUevent = list[Any]
"""``[action, subsystem, stem, first number, first seqnum, how many]``."""


def encode_kernel(kernel: Kernel) -> dict[str, str]:
    """Write a kernel as text, part by part; the same state is always the same text."""
    each = _encoders()
    return {
        part: _dump({name: each[name](getattr(kernel, name)) for name in names})
        for part, names in PARTS.items()
    }


def decode_kernel(parts: Mapping[str, str]) -> Kernel:
    """Read a kernel back; raises ``CodecError`` for anything that ``encode_kernel`` never wrote."""
    each = _decoders()
    try:
        given: dict[str, Any] = {}
        for part in PARTS:
            given |= {name: each[name](item) for name, item in json.loads(parts[part]).items()}
        return Kernel(**given)
    except _DAMAGE as err:
        raise CodecError(f"the state is damaged ({type(err).__name__}: {err})") from err


def fold_uevents(uevents: Iterable[Uevent]) -> str:
    """Write uevents as text, those of consecutive blocks as one run."""
    runs: list[FoldedUevent] = []
    for uevent in uevents:
        stem = uevent.devpath.rstrip("0123456789")
        number = int(uevent.devpath[len(stem) :] or -1)
        last = runs[-1] if runs else None
        if last is not None and _continues(last, uevent, stem, number):
            last[5] += 1
        else:
            runs.append([uevent.action, uevent.subsystem, stem, number, uevent.seqnum, 1])
    return _dump(runs)


def unfold_uevents(text: str) -> tuple[Uevent, ...]:
    """Read uevents back; raises ``CodecError``."""
    try:
        return tuple(
            Uevent(
                action=action,
                devpath=f"{stem}{number + place}" if number >= 0 else stem,
                subsystem=subsystem,
                seqnum=seqnum + place,
            )
            for action, subsystem, stem, number, seqnum, count in json.loads(text)
            for place in range(count)
        )
    except _DAMAGE as err:
        raise CodecError(f"uevents are damaged ({type(err).__name__}: {err})") from err


def _continues(run: FoldedUevent, uevent: Uevent, stem: str, number: int) -> bool:
    action, subsystem, run_stem, first, seqnum, count = run
    return number >= 0 and [action, subsystem, run_stem, first + count, seqnum + count] == [
        uevent.action,
        uevent.subsystem,
        stem,
        number,
        uevent.seqnum,
    ]


@cache
def _encoders() -> dict[str, Convert]:
    return {name: encoder(kind) for name, kind in _state_fields().items()}


@cache
def _decoders() -> dict[str, Convert]:
    return {name: decoder(kind) for name, kind in _state_fields().items()}


def _state_fields() -> dict[str, Any]:
    return {name: kind for name, kind in field_types(Kernel).items() if name not in HAPPENED}


def _dump(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
