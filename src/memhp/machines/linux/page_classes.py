"""What each page of a block is to whoever takes the block offline.

From ``/proc/kpageflags``, ``/proc/kpagecount`` and, where they can be read, the
page structures. The questions are those of ``has_unmovable_pages()`` and
``folio_migrate_mapping()``.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from memhp.core import kpageflags as kpf
from memhp.core.evidence import Held
from memhp.core.geometry import PAGES_PER_PAGEBLOCK
from memhp.machines.linux.page_structs import Structs

Words = npt.NDArray[np.uint64]
Codes = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.int64]

KINDS: Final = tuple(Held)
"""Kinds by their number in an array of codes."""
CODE: Final = {kind: number for number, kind in enumerate(KINDS)}
_MAPPING_BITS: Final = 3
_MAPPING_DRIVER: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class PageArrays:
    """What was read of a block; ``structs`` is ``None`` where they are not shown."""

    bits: Words
    counts: Words
    structs: Structs | None


def classify(pages: PageArrays) -> Codes:
    """Give each page its kind, as an index into ``KINDS``; pins are not looked for."""
    bits = pages.bits
    heads = heads_of(bits)
    lru = _bit(bits, kpf.LRU)[heads]
    compound = _bit(bits, kpf.HEAD) | _bit(bits, kpf.TAIL)
    cases: list[tuple[Mask, Held]] = [
        (_bit(bits, kpf.NOPAGE), Held.HOLE),
        (_own_map(bits), Held.OWN_MAP),
        (_bit(bits, kpf.RESERVED), Held.RESERVED),
        (_bit(bits, kpf.BUDDY), Held.FREE),
        (_bit(bits, kpf.HWPOISON), Held.POISONED),
        *_huge_cases(pages, heads),
        # A slab has a list where other pages have their mapping: any bits may be set there.
        (_bit(bits, kpf.SLAB)[heads], Held.SLAB),
        (_bit(bits, kpf.PGTABLE)[heads], Held.PAGE_TABLE),
        *_driver_cases(pages, heads, lru),
        (_bit(bits, kpf.OFFLINE), Held.DRIVER),
        (lru & compound, Held.LARGE),
        (lru, Held.LRU),
        *_other_cases(pages, compound, heads),
    ]
    codes = [np.uint8(CODE[kind]) for _, kind in cases]
    rest = CODE[Held.PLAIN if pages.structs is None else Held.KERNEL]
    found: Codes = np.select([mask for mask, _ in cases], codes, np.uint8(rest)).astype(np.uint8)
    return found


def without_flags(pages: PageArrays, codes: Codes) -> Mask:
    """Which pages show nothing at all, and nobody can tell: free on a per-CPU list, or plain."""
    found: Mask = (codes == CODE[Held.PLAIN]) & (pages.bits == 0)
    return found


def heads_of(bits: Words) -> Numbers:
    """The place of the first page of each page's folio, in the same block."""
    places = np.arange(len(bits))
    heads: Numbers = np.maximum.accumulate(np.where(_bit(bits, kpf.TAIL), 0, places))
    return heads


def extra_references(pages: PageArrays, codes: Codes) -> Mask:
    """Which movable pages somebody holds beside page tables and the page cache.

    Migration gives up on such a page (``folio_migrate_mapping()``): one that is
    pinned, or read into, or in a pipe. Pages of one folio share the answer.
    """
    nothing = np.zeros(len(codes), np.bool_)
    structs = pages.structs
    if structs is None:
        return nothing
    heads = heads_of(pages.bits)
    movable = (codes == CODE[Held.LRU]) | (codes == CODE[Held.LARGE])
    first = movable & ~_bit(pages.bits, kpf.TAIL) & _bit(pages.bits, kpf.LRU)
    held = nothing.copy()
    held[first] = _extra(pages, structs, heads)[first] > 0
    found: Mask = held[heads] & movable
    return found


def _extra(pages: PageArrays, structs: Structs, heads: Numbers) -> Numbers:
    """References beyond the expected, at the first page of each folio."""
    mapped = structs["_mapcount"].astype(np.int64) + 1
    size = np.bincount(heads, minlength=len(heads))
    per_page = np.bincount(heads, weights=mapped, minlength=len(heads)).astype(np.int64)
    # Mapped as a whole: what the kernel counts for the first page, less that page's own.
    whole = np.where(size > 1, pages.counts.astype(np.int64) - mapped, 0)
    kind = structs["mapping"] & np.uint64(_MAPPING_BITS)
    cached = (structs["mapping"] != 0) & (kind == 0)
    cached |= _bit(pages.bits, kpf.SWAPCACHE) & _bit(pages.bits, kpf.ANON)
    private = _bit(pages.bits, kpf.PRIVATE) & (kind == 0)
    expected = per_page + whole + np.where(cached, size, 0) + private
    extra: Numbers = structs["_refcount"].astype(np.int64) - expected
    extra[kind == _MAPPING_BITS] = 0  # KSM
    return extra


def _huge_cases(pages: PageArrays, heads: Numbers) -> list[tuple[Mask, Held]]:
    """Huge pages of the pools; a 1 GiB page has no first page in most of its blocks."""
    huge = _bit(pages.bits, kpf.HUGE)
    if not huge.any():
        return []
    gigantic = huge & _gigantic(pages.bits)
    if pages.structs is not None:
        idle = pages.structs["_refcount"][heads] == 0
        # The first page lies in another block: whether it is in use is seen by its mappings.
        outside = _bit(pages.bits, kpf.TAIL)[heads]
        idle = np.where(outside, pages.counts == 0, idle)
    else:
        idle = pages.counts[heads] == 0
    return [
        (gigantic & idle, Held.GIGANTIC_FREE),
        (gigantic, Held.GIGANTIC),
        (huge & idle, Held.HUGE_FREE),
        (huge, Held.HUGE),
    ]


def _gigantic(bits: Words) -> Mask:
    """Which pageblocks begin, or are followed by one that begins, in the middle of a folio."""
    tail = _bit(bits, kpf.TAIL)[::PAGES_PER_PAGEBLOCK]
    follows = np.append(tail[1:], tail[-1:])
    found: Mask = np.repeat(tail | follows, PAGES_PER_PAGEBLOCK)[: len(bits)]
    return found


def _driver_cases(pages: PageArrays, heads: Numbers, lru: Mask) -> list[tuple[Mask, Held]]:
    """Pages that move without an LRU: zsmalloc, balloon (``__PageMovable()``)."""
    if pages.structs is None:
        return []
    kind = pages.structs["mapping"][heads] & np.uint64(_MAPPING_BITS)
    used = pages.structs["_refcount"][heads] > 0
    return [((kind == _MAPPING_DRIVER) & used & ~lru, Held.DRIVER_MOVABLE)]


def _other_cases(pages: PageArrays, compound: Mask, heads: Numbers) -> list[tuple[Mask, Held]]:
    """Free on a per-CPU list; waiting to get on an LRU, which is drained; or the kernel's."""
    bits = pages.bits
    waiting = (_bit(bits, kpf.ANON) | _bit(bits, kpf.SWAPBACKED))[heads]
    if pages.structs is None:
        return [(waiting, Held.LRU), (compound, Held.KERNEL)]
    references = pages.structs["_refcount"][heads]
    mapping = pages.structs["mapping"][heads]
    cached = _bit(bits, kpf.UPTODATE)[heads] & (mapping != 0)
    cached &= (mapping & np.uint64(_MAPPING_BITS)) == 0
    return [(references == 0, Held.CACHED_FREE), (waiting | cached, Held.LRU)]


def _own_map(bits: Words) -> Mask:
    """The memory map of the block itself, at its start (``memmap_on_memory``)."""
    marked = bits & ~np.uint64(kpf.RESERVED) == np.uint64(kpf.OWNER_PRIVATE)
    found: Mask = np.logical_and.accumulate(marked)
    return found


def _bit(bits: Words, flag: int) -> Mask:
    found: Mask = bits & np.uint64(flag) != 0
    return found
