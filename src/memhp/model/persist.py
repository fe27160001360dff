"""The state of a modelled kernel as named parts of text, and back.

Every field of ``Kernel`` belongs to one part; a change rewrites only the parts
that it touched. Uevents and the kernel's log are no state but what happened:
they go into the log of the state file, and a kernel that is loaded has none.
"""

import json
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Final

from memhp.core.geometry import NodeId
from memhp.core.words import ZoneType
from memhp.model.codec import Codec, CodecError, codec_of, field_types
from memhp.model.kernel import Kernel
from memhp.model.uevents import Uevent
from memhp.model.zones import Zone

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
    "mappings": ("page_tables", "hosted", "reserved"),
    "faults": (
        "unmovable",
        "held",
        "pinned",
        "poisoned",
        "poison_counter",
        "notifier_errors",
        "own_pages_block",
    ),
    "counters": ("seqnum",),
}
ADDED_LATER: Final = frozenset({"pinned"})
"""Fields that older state files lack, and that then have their default."""
HAPPENED: Final = frozenset({"uevents", "log"})
"""Fields that are kept in the log and not in the state."""
APART: Final = frozenset({"pages"})
"""Fields that are saved in a way of their own."""
_DAMAGE = (CodecError, ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError)

FoldedUevent = list[Any]
"""``[action, subsystem, stem, first number, first seqnum, how many]``."""


def encode_kernel(kernel: Kernel) -> dict[str, str]:
    """Write a kernel as text, part by part; the same state is always the same text."""
    each = _codecs()
    state = {name: getattr(kernel, name) for name in each} | {"zones": _zones_in_use(kernel)}
    return {
        part: _dump({name: each[name].encode(state[name]) for name in names})
        for part, names in PARTS.items()
    }


def decode_kernel(parts: Mapping[str, str]) -> Kernel:
    """Read a kernel back; raises ``CodecError`` for anything that ``encode_kernel`` never wrote."""
    each = _codecs()
    try:
        given: dict[str, Any] = {}
        for part, names in PARTS.items():
            items = json.loads(parts[part])
            if not set(names) - ADDED_LATER <= items.keys() <= set(names):
                raise CodecError(f"the part '{part}' has other fields")
            given |= {name: each[name].decode(item) for name, item in items.items()}
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
    *same, first, seqnum, count = run
    follows = (number, uevent.seqnum) == (first + count, seqnum + count)
    return number >= 0 and follows and same == [uevent.action, uevent.subsystem, stem]


def _zones_in_use(kernel: Kernel) -> dict[tuple[NodeId, ZoneType], Zone]:
    """The zones in order, without the empty ones that looking at a zone makes."""
    zones = sorted(kernel.zones.values(), key=lambda zone: (zone.node, zone.zone.order))
    in_use = (zone for zone in zones if zone != Zone(node=zone.node, zone=zone.zone))
    return {(zone.node, zone.zone): zone for zone in in_use}


@cache
def _codecs() -> dict[str, Codec]:
    """How each field of the state is written, by its name."""
    kinds = field_types(Kernel).items()
    return {name: codec_of(kind) for name, kind in kinds if name not in HAPPENED | APART}


def _dump(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
