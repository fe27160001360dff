"""A second look, a moment later, at pages that the first could not tell.

A page without flags is free on a per-CPU list, on its way from or to somebody, or
the kernel's for as long as it likes. The first two change; where the page
structures can be read, they tell all three apart. What shows nothing at both
looks stays unknown.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from memhp.core.census import BlockCensus, PageKind
from memhp.core.evidence import Held
from memhp.core.geometry import BlockId
from memhp.machines.linux.count_words import CODE, KINDS, Codes, Runs, WordCounter, words_in
from memhp.machines.linux.page_classes import KINDS as ALL_HELD
from memhp.machines.linux.page_classes import PageArrays, classify
from memhp.machines.linux.page_structs import PageStructs, open_page_structs
from memhp.machines.linux.read_census import (
    KPAGEFLAGS,
    WORD_BYTES,
    Piece,
    cut_short,
    opened,
    read_words,
)
from memhp.machines.linux.root import Root

PAUSE: Final = 0.2
"""Seconds before it."""
_OPEN: Final = (PageKind.UNKNOWN, PageKind.DRIVER)
_OPEN_CODES: Final = tuple(CODE[kind] for kind in _OPEN)
_TOLD_BY_STRUCTURE: Final[Mapping[Held, PageKind]] = {
    Held.CACHED_FREE: PageKind.FREE,
    Held.LRU: PageKind.CACHE,
    Held.DRIVER_MOVABLE: PageKind.MOVABLE,
    Held.DRIVER: PageKind.DRIVER,
    Held.KERNEL: PageKind.KERNEL,
}


class SecondLook(NamedTuple):
    """What came of it: ``moved`` counts pages by what they were and what they are, by block.

    ``sees_structs``: the page structures were read.
    """

    moved: Mapping[BlockId, Counter[tuple[PageKind, PageKind]]]
    sees_structs: bool

    def applied(self, census: BlockCensus) -> BlockCensus:
        """A block's census with each page counted as it showed last."""
        pages = Counter(census.pages)
        for (before, after), number in self.moved.get(census.block, Counter()).items():
            pages[before] -= number
            pages[after] += number
        kept = {kind: pages[kind] for kind in PageKind if pages[kind]}
        return BlockCensus(block=census.block, pages=kept)

    def notes(self) -> tuple[str, ...]:
        """What it changed, in sentences: one for each kind of page that it was about."""
        total: Counter[tuple[PageKind, PageKind]] = Counter()
        for of_block in self.moved.values():
            total.update(of_block)
        how = " and their structures (/proc/kcore)" if self.sees_structs else ""
        return tuple(_note(kind, total, how) for kind in _OPEN if any(b is kind for b, _ in total))


def _note(kind: PageKind, moved: Counter[tuple[PageKind, PageKind]], how: str) -> str:
    after = {now: number for (before, now), number in moved.items() if before is kind}
    told = [f"{after[now]} {now}" for now in PageKind if now in after and now is not kind]
    same = after.get(kind, 0)
    found = f"{', '.join(told)}; {same} still {kind}" if told else f"all of them still {kind}"
    return f"{sum(after.values())} {kind} pages{how} were looked at again {PAUSE} s later: {found}"


class Doubts:
    """Remembers which pages the first look could not tell, a bit a page."""

    def __init__(self) -> None:
        self._pieces: list[tuple[Piece, PageKind, bytes]] = []

    def see(self, piece: Piece, runs: Runs) -> None:
        """Take a piece in, as the first look counted it."""
        for kind in _OPEN:
            open_runs = runs.codes == CODE[kind]
            if open_runs.any():
                each = np.packbits(np.repeat(open_runs, runs.lengths))
                self._pieces.append((piece, kind, each.tobytes()))

    def look_again(
        self, root: Root, without_kernel: Sequence[BlockId], pause: Callable[[float], None]
    ) -> SecondLook:
        """Look at those pages again; raises ``MachineError``.

        In ``without_kernel``, blocks of ``ZONE_MOVABLE``, a plain page that is in
        use is on its way, and not the kernel's.
        """
        moved: dict[BlockId, Counter[tuple[PageKind, PageKind]]] = {}
        if not self._pieces:
            return SecondLook(moved, sees_structs=False)
        pause(PAUSE)
        structs = open_page_structs(root)
        try:
            with opened(root, KPAGEFLAGS) as descriptor:
                again = _Again(root, descriptor, structs, frozenset(without_kernel))
                for piece, kind, packed in self._pieces:
                    where = np.unpackbits(np.frombuffer(packed, np.uint8), count=piece.nr_pages)
                    codes = again.look(piece)[where.astype(np.bool_)]
                    counts = np.bincount(codes, minlength=len(KINDS)).tolist()
                    of_block = moved.setdefault(piece.block, Counter())
                    of_block.update({(kind, KINDS[n]): c for n, c in enumerate(counts) if c})
        finally:
            if structs is not None:
                structs.close()
        return SecondLook(moved, structs is not None)


class _Again:
    """Reads a piece once more, with its page structures where they are shown."""

    def __init__(
        self,
        root: Root,
        descriptor: int,
        structs: PageStructs | None,
        without_kernel: frozenset[BlockId],
    ) -> None:
        self._root = root
        self._descriptor = descriptor
        self._structs = structs
        self._counter = WordCounter()
        self._told = _translation(kernel=PageKind.KERNEL)
        self._told_without = _translation(kernel=PageKind.UNKNOWN)
        self._without = without_kernel

    def look(self, piece: Piece) -> Codes:
        """What each page is now."""
        # They come first, for the reason given at look_inside.
        read = None if self._structs is None else self._structs.read
        structs = None if read is None else read(piece.first_pfn, piece.nr_pages)
        buffer = bytearray(piece.nr_pages * WORD_BYTES)
        got = read_words(self._descriptor, piece.first_pfn, piece.nr_pages, buffer)
        if got < len(buffer):
            raise cut_short(self._root, piece.block)
        words = words_in(buffer, piece.nr_pages)
        codes = self._counter.runs(words, begins_block=piece.begins_block).each()
        if structs is not None:
            still = np.isin(codes, _OPEN_CODES)
            counts = np.zeros(len(words), np.uint64)  # they matter for huge pages alone
            held = classify(PageArrays(bits=words, counts=counts, structs=structs))
            told = self._told_without if piece.block in self._without else self._told
            codes[still] = told[held[still]]
        return codes


def _translation(*, kernel: PageKind) -> Codes:
    """By the place of a word of ``Held``: that of the kind which the census has for it."""
    kinds = {**_TOLD_BY_STRUCTURE, Held.KERNEL: kernel}
    return np.array([CODE[kinds.get(held, PageKind.UNKNOWN)] for held in ALL_HELD], np.uint8)
