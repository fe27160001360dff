"""Pages as named blobs, and back: one for each touched section, one for lists, one for holders.

A section's blob holds what its frames are, the slots of what is held in it,
and the migrate types of its pageblocks. What lies on which list in which order
is kept apart, and so is what has no frame. Sections that nobody has touched
have no blob.
"""

import json
import zlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from memhp.core.geometry import PAGES_PER_PAGEBLOCK, PAGES_PER_SECTION, NodeId
from memhp.core.words import ZoneType
from memhp.model.codec import CodecError
from memhp.model.kernel import Kernel
from memhp.model.page_tables import TableKind
from memhp.model.pages.area import NONE
from memhp.model.pages.build import empty_pages, open_pages
from memhp.model.pages.frames import CLASS, MOVABLE, UNMOVABLE
from memhp.model.pages.machine_pages import MachinePages
from memhp.model.pages.populate import refresh
from memhp.model.pages.save_holders import decode_holders, encode_holders
from memhp.model.pages.words import NR_ORDERS, MigrateType, PageKind

_BLOCKS: Final = PAGES_PER_SECTION // PAGES_PER_PAGEBLOCK
_FAST: Final = 1
_META, _LISTS = "meta", "lists"
_DAMAGE = (ValueError, TypeError, KeyError, IndexError, AttributeError, zlib.error, MemoryError)


def encode_pages(kernel: Kernel) -> Iterator[tuple[str, bytes]]:
    """Write the pages of a machine as blobs by name; the same state is always the same blobs."""
    pages = open_pages(kernel)
    yield _META, zlib.compress(json.dumps(_meta(pages), separators=(",", ":")).encode(), _FAST)
    yield _LISTS, zlib.compress(_lists(pages).tobytes(), _FAST)
    for section in touched_sections(pages):
        yield f"{section}", zlib.compress(_section(pages, section), _FAST)


def decode_pages(kernel: Kernel, blobs: Mapping[str, bytes]) -> MachinePages:
    """Read pages back for their kernel; raises ``CodecError`` for what was never written."""
    try:
        pages = empty_pages(kernel)
        meta = json.loads(zlib.decompress(blobs[_META]))
        for node, zone in meta["areas"]:
            pages.area(NodeId(node), ZoneType(zone))
        _fill_zones(kernel, pages)
        decode_holders(pages.holders, meta["holders"])
        for name, blob in blobs.items():
            if name not in {_META, _LISTS}:
                _fill_section(pages, int(name), zlib.decompress(blob))
        pages.holders.recount()
        _fill_lists(pages, np.frombuffer(zlib.decompress(blobs[_LISTS]), np.int64))
        _restore(pages, meta)
        refresh(kernel, pages)
    except _DAMAGE as err:
        raise CodecError(f"its pages are damaged ({type(err).__name__}: {err})") from err
    return pages


def touched_sections(pages: MachinePages) -> list[int]:
    """The sections of which anything is written down."""
    zones = pages.frames.zone.reshape(-1, _BLOCKS).any(axis=1)
    return [int(each) for each in np.flatnonzero(zones & (pages.frames.pristine == 0))]


def _meta(pages: MachinePages) -> dict[str, Any]:
    return {
        "areas": [[area.node, area.zone.value] for area in pages.areas],
        "cached": [
            [place, cpu, order, kind, waiting.tolist()]
            for place, area in enumerate(pages.areas)
            for cpu, pcp in sorted(area.pcp.items())
            for (order, kind), waiting in sorted(pcp.lists.items())
            if len(waiting)
        ],
        "holders": encode_holders(pages.holders),
        "structures": [
            [key if isinstance(key, int) else [key[0].name, key[1]], holding.number]
            for key, holding in pages.structures.items()
        ],
        "idle": [holding.number for holding in pages.hugetlb.idle],
        "surplus": [
            [kind.name, node, number]
            for (kind, node), number in sorted(pages.hugetlb.surplus.items())
            if number
        ],
        "moved": list(pages.kernel_map.moved()),
        "costs": [
            [[kind.name, number] for kind, number in pages.costs.copied.items()],
            pages.costs.shootdowns,
            pages.costs.split_units,
        ],
    }


def _restore(pages: MachinePages, meta: Mapping[str, Any]) -> None:
    for place, cpu, order, kind, waiting in meta["cached"]:
        pcp = pages.areas[place].per_cpu(cpu)
        pcp.lists[order, kind] = np.array(waiting, np.int64)
        pcp.count += len(waiting) << order
    holdings = pages.holders.holdings
    for key, number in meta["structures"]:
        name = key if isinstance(key, int) else (TableKind[key[0]], key[1])
        pages.structures[name] = holdings[number]
    for number in meta["idle"]:
        pages.hugetlb.idle.append(holdings[number])
        pages.holders.idle_of[number] = 1
    for kind, node, number in meta.get("surplus", ()):
        pages.hugetlb.surplus[PageKind[kind], NodeId(node)] = number
    pages.kernel_map.restore((page, frame) for page, frame in meta["moved"])
    copied, pages.costs.shootdowns, pages.costs.split_units = meta["costs"]
    pages.costs.copied = {PageKind[kind]: number for kind, number in copied}


def _section(pages: MachinePages, section: int) -> bytes:
    frames = pages.frames
    first = section * PAGES_PER_SECTION
    codes = frames.state[first : first + PAGES_PER_SECTION]
    held = (codes & CLASS == MOVABLE) | (codes & CLASS == UNMOVABLE)
    slots = frames.link[first : first + PAGES_PER_SECTION][held]
    types = frames.migratetype[section * _BLOCKS : (section + 1) * _BLOCKS]
    return b"".join((codes.tobytes(), types.tobytes(), slots.tobytes()))


def _fill_section(pages: MachinePages, section: int, blob: bytes) -> None:
    frames = pages.frames
    first = section * PAGES_PER_SECTION
    codes = np.frombuffer(blob, np.uint8, PAGES_PER_SECTION)
    types = np.frombuffer(blob, np.uint8, _BLOCKS, PAGES_PER_SECTION)
    slots = np.frombuffer(blob, np.uint32, -1, PAGES_PER_SECTION + _BLOCKS)
    frames.state[first : first + PAGES_PER_SECTION] = codes
    frames.migratetype[section * _BLOCKS : (section + 1) * _BLOCKS] = types
    (places,) = np.nonzero((codes & CLASS == MOVABLE) | (codes & CLASS == UNMOVABLE))
    pages.holders.place(places + first, slots)


def _fill_zones(kernel: Kernel, pages: MachinePages) -> None:
    """Say of which zone each pageblock is; those of untouched sections are movable."""
    for area in pages.areas:
        for run in kernel.zone(area.node, area.zone).linked:
            first = run.start // PAGES_PER_PAGEBLOCK
            last = -(-run.end // PAGES_PER_PAGEBLOCK)
            pages.frames.zone[first:last] = area.index
            pages.frames.migratetype[first:last] = MigrateType.MOVABLE


def _lists(pages: MachinePages) -> npt.NDArray[np.int64]:
    """Each list: how many entries, and they, the tail of the list first."""
    parts = []
    for area in pages.areas:
        for lists in area.lists:
            for order in range(NR_ORDERS):
                raw = lists[order].raw()
                parts += [np.array([len(raw)], np.int64), raw]
    return np.concatenate(parts) if parts else NONE


def _fill_lists(pages: MachinePages, flat: npt.NDArray[np.int64]) -> None:
    at = 0
    for area in pages.areas:
        for migratetype, lists in enumerate(area.lists):
            for order in range(NR_ORDERS):
                number = int(flat[at])
                lists[order].fill(flat[at + 1 : at + 1 + number])
                area.account(migratetype, lists[order].count << order)
                at += 1 + number
