"""Looking into the blocks of a running machine: what each page is, and what stays.

A pin for input or output lasts for moments, one that keeps a page for good is
there at every look; so doubtful blocks are looked at several times.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np

from memhp.core.errors import NoSuchObject
from memhp.core.evidence import UNMOVABLE, BlockEvidence, Evidence, Held, Sighting
from memhp.core.geometry import PAGE_SIZE_BYTES, BlockId, pages_of, round_down
from memhp.core.kpageflags import NOPAGE
from memhp.core.ranges import PhysRange
from memhp.core.snapshot import IomemEntry, MemoryBlock, Snapshot
from memhp.core.words import BlockState, ZoneType
from memhp.machines.linux.node_room import read_reserved_huge, read_rooms, read_swap_free
from memhp.machines.linux.page_classes import (
    CODE,
    KINDS,
    Codes,
    Mask,
    PageArrays,
    classify,
    extra_references,
    without_flags,
)
from memhp.machines.linux.page_structs import PageStructs, open_page_structs
from memhp.machines.linux.read_census import KPAGEFLAGS, WORD_BYTES, opened, read_words
from memhp.machines.linux.root import Root
from memhp.machines.linux.task_memory import read_holders
from memhp.machines.linux.zone_lists import ZoneName, most_of_both, read_zone_lists

PAUSES: Final = (0.02, 0.05, 0.1, 0.2)
"""Seconds between the looks at doubtful blocks."""
_MOST_PASSING: Final = 1024
"""With more kernel pages than these, some stay."""
_STAY: Final = frozenset({*UNMOVABLE, Held.PINNED})
_ON_LRU: Final = (CODE[Held.LRU], CODE[Held.LARGE])
_KPAGECOUNT: Final = "proc/kpagecount"


@dataclass(slots=True)
class _Seen:
    """One block while it is looked at: codes, and the pages that were in the way at every look."""

    block: MemoryBlock
    codes: Codes
    kernel: Mask
    pinned: Mask
    plain: Mask
    looks: int = 1

    @property
    def is_doubtful(self) -> bool:
        """Whether what is in the way might be gone in a moment: few kernel pages, or pins.

        Plain pages matter where nothing else is in the way, and not in ``ZONE_MOVABLE``.
        """
        kernel = np.count_nonzero(self.kernel)
        plain = kernel == 0 and self.block.zone is not ZoneType.MOVABLE and self.plain.any()
        return bool(0 < kernel <= _MOST_PASSING or self.pinned.any() or plain)


def look_inside(
    root: Root,
    snapshot: Snapshot,
    blocks: Sequence[BlockId],
    *,
    pause: Callable[[float], None],
) -> Evidence:
    """Look into blocks of a machine; raises ``MachineError`` and ``NoSuchObject``."""
    by_number = {block.block: block for block in snapshot.blocks}
    nr_pages = pages_of(snapshot.block_size_bytes)
    lists = read_zone_lists(root)
    structs = open_page_structs(root)
    try:
        with _Pages(root, structs, nr_pages) as pages:
            seen = [_look(pages, _block(root, by_number, number)) for number in blocks]
            _look_again(pages, [one for one in seen if one.is_doubtful], pause)
    finally:
        if structs is not None:
            structs.close()
    nobodys = most_of_both(lists, read_zone_lists(root))
    evidence = [_evidence(one, snapshot, nr_pages, structs is not None) for one in seen]
    return Evidence(
        blocks=tuple(replace(e, most_nobodys=_most_nobodys(e, nobodys)) for e in evidence),
        rooms=read_rooms(root),
        pages_per_block=nr_pages,
        swap_free=read_swap_free(root),
        reserved_huge=read_reserved_huge(root),
        holders=read_holders(root),
        notes=() if structs is not None else (_BLIND,),
    )


def _most_nobodys(block: BlockEvidence, nobodys: Mapping[ZoneName, int]) -> int | None:
    if block.node is None or block.zone is None:
        return None
    return nobodys.get((block.node, block.zone))


_BLIND = (
    "/proc/kcore cannot be read here, so pins and per-CPU lists do not show: "
    "more answers are unknown"
)


class _Pages:
    """The files that have something of every page, open."""

    def __init__(self, root: Root, structs: PageStructs | None, nr_pages: int) -> None:
        self.nr_pages = nr_pages
        self._structs = structs
        self._root = root
        self._files = ExitStack()
        self._flags = self._counts = -1

    def __enter__(self) -> Self:
        with ExitStack() as files:
            self._flags = files.enter_context(opened(self._root, KPAGEFLAGS))
            self._counts = files.enter_context(opened(self._root, _KPAGECOUNT))
            self._files = files.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._files.close()

    def read(self, number: int) -> PageArrays:
        """Everything of one block's pages; what lies behind the last page reads as no page.

        The structures come first: reading them takes memory of our own, from per-CPU
        lists too. A page that was free there a moment ago then has the flags of a
        process's; in the other order it would look like one of the kernel's.
        """
        first = number * self.nr_pages
        structs = None if self._structs is None else self._structs.read(first, self.nr_pages)
        counts = self._words(self._counts, first, 0)
        bits = self._words(self._flags, first, NOPAGE)
        return PageArrays(bits=bits, counts=counts, structs=structs)

    def _words(
        self, handle: int, first: int, missing: int
    ) -> "np.ndarray[tuple[int], np.dtype[np.uint64]]":
        words = np.full(self.nr_pages, missing, np.uint64)
        buffer = bytearray(words.nbytes)
        found = read_words(handle, first, self.nr_pages, buffer) // WORD_BYTES
        words[:found] = np.frombuffer(buffer, np.uint64, found)
        return words


def _block(root: Root, blocks: dict[BlockId, MemoryBlock], number: BlockId) -> MemoryBlock:
    if number not in blocks:
        raise NoSuchObject(
            machine=root.name, name=f"memory{number}", advice="see 'memhp ls' for its blocks"
        )
    return blocks[number]


def _look(pages: _Pages, block: MemoryBlock) -> _Seen:
    if block.state is BlockState.OFFLINE:
        codes = np.full(pages.nr_pages, CODE[Held.FREE], np.uint8)
        nothing = np.zeros(pages.nr_pages, np.bool_)
        return _Seen(block, codes, nothing, nothing, nothing)
    arrays = pages.read(block.block)
    codes = classify(arrays)
    plain = without_flags(arrays, codes)
    return _Seen(block, codes, _of_kernel(codes), extra_references(arrays, codes), plain)


def _of_kernel(codes: Codes) -> Mask:
    found: Mask = np.isin(codes, [CODE[kind] for kind in UNMOVABLE])
    return found


def _look_again(pages: _Pages, doubtful: list[_Seen], pause: Callable[[float], None]) -> None:
    """Keep, look by look, what is still in the way; what is not was busy for a moment."""
    first = [one.pinned.copy() for one in doubtful]
    for seconds in PAUSES if doubtful else ():
        pause(seconds)
        for one in doubtful:
            arrays = pages.read(one.block.block)
            codes = classify(arrays)
            one.kernel = one.kernel & _of_kernel(codes)
            one.pinned = one.pinned & extra_references(arrays, codes)
            one.plain = one.plain & without_flags(arrays, codes)
            one.codes = codes
            one.looks += 1
    for one, before in zip(doubtful, first, strict=True):
        one.codes[before & np.isin(one.codes, _ON_LRU)] = CODE[Held.BUSY]
        one.codes[one.pinned] = CODE[Held.PINNED]


def _evidence(seen: _Seen, snapshot: Snapshot, nr_pages: int, sees: bool) -> BlockEvidence:  # noqa: FBT001
    counts = np.bincount(seen.codes, minlength=len(KINDS)).tolist()
    kinds = {kind: count for kind, count in zip(KINDS, counts, strict=True) if count}
    lasting = np.bincount(seen.codes[seen.kernel | seen.pinned], minlength=len(KINDS)).tolist()
    stays = {k: n for k, n in zip(KINDS, lasting, strict=True) if n and k in _STAY}
    plain = int(np.count_nonzero(seen.plain))
    block = seen.block
    return BlockEvidence(
        block=block.block,
        state=block.state,
        zone=block.zone,
        node=block.node,
        kinds=kinds,
        sightings=tuple(_sightings(seen, nr_pages)),
        lasting={**stays, Held.PLAIN: plain} if plain else stays,
        looks=seen.looks,
        sees_references=sees,
        has_holes=has_holes(block.block, snapshot.block_size_bytes, snapshot.iomem),
    )


def _sightings(seen: _Seen, nr_pages: int) -> list[Sighting]:
    found = []
    for kind in KINDS:
        if kind in _STAY:
            places = np.flatnonzero(seen.codes == CODE[kind])
            if len(places):
                first = seen.block.block * nr_pages + int(places[0])
                found.append(Sighting(kind=kind, first_pfn=first, count=len(places)))
    return found


def has_holes(block: int, block_size_bytes: int, iomem: Sequence[IomemEntry]) -> bool:
    """Whether a part of a block is no System RAM; false where the addresses are hidden.

    Source: ``offline_pages()``, which counts the pages by ``walk_system_ram_range()``.
    """
    whole = PhysRange.at(block * block_size_bytes, block_size_bytes)
    covered = sum(
        min(entry.range.end, whole.end) - max(entry.range.start, whole.start)
        for entry in iomem
        if entry.name.startswith("System RAM") and entry.range.overlaps(whole)
    )
    # The kernel counts whole pages.
    return bool(iomem) and round_down(covered, PAGE_SIZE_BYTES) != block_size_bytes
