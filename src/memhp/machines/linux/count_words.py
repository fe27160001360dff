"""Counting the words of ``/proc/kpageflags`` by kind of page, many at a time.

A machine's memory shows a few hundred different words. Each is judged once;
after that one multiplication finds its place in a small table.
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from memhp.core.census import PageKind
from memhp.core.kpageflags import TAIL
from memhp.machines.linux.page_words import asks_head, kind_of_word

Words = npt.NDArray[np.uint64]
Codes = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.int64]

KINDS: Final = tuple(PageKind)
"""Kinds by their number in an array of codes."""
CODE: Final = {kind: number for number, kind in enumerate(KINDS)}
_ASK_HEAD: Final = 1 << 7
_SPREAD: Final = np.uint64(0x9E3779B97F4A7C15)
_TABLE_BITS: Final = 13
_SHIFT: Final = np.uint64(64 - _TABLE_BITS)
_NO_WORD: Final = (1 << 64) - 1


class Runs(NamedTuple):
    """Kinds of consecutive pages, as places in ``KINDS``, and how many in a row are of each."""

    codes: Codes
    lengths: Numbers

    def sums(self) -> Numbers:
        """Count the pages by place in ``KINDS``."""
        found = np.bincount(self.codes, weights=self.lengths, minlength=len(KINDS))
        return found.astype(np.int64)

    def each(self) -> Codes:
        """The kind of every page."""
        return np.repeat(self.codes, self.lengths)


class WordCounter:
    """Tells the kinds of pages by their words; remembers what each different word means."""

    def __init__(self) -> None:
        # An empty place answers rightly for the one word that it seems to hold.
        self._words: Words = np.full(1 << _TABLE_BITS, _NO_WORD, np.uint64)
        self._codes: Codes = np.full(1 << _TABLE_BITS, _code_of(_NO_WORD), np.uint8)

    def runs(self, words: Words, *, begins_block: bool) -> Runs:
        """Tell the kinds of consecutive frames, one or more.

        ``begins_block``: the first is that of a block, where its own memory map may lie.
        """
        # Most words are the same as the one before.
        starts = np.flatnonzero(words[1:] != words[:-1]) + 1
        edges = np.concatenate(([0], starts, [len(words)]))
        runs = words[edges[:-1]]
        codes = _as_heads(runs, self.codes(runs))
        own = codes == CODE[PageKind.OWN_MAP]
        if own.any():
            leading = np.logical_and.accumulate(own) if begins_block else np.zeros_like(own)
            codes[own & ~leading] = CODE[PageKind.KERNEL]
        return Runs(codes, np.diff(edges))

    def codes(self, words: Words) -> Codes:
        """What each word says by itself: its place in ``KINDS``, and whether to ask its head."""
        places = (words * _SPREAD) >> _SHIFT
        codes: Codes = self._codes[places]
        missed = self._words[places] != words
        if missed.any():
            codes[missed] = self._learnt(words[missed])
        return codes

    def _learnt(self, words: Words) -> Codes:
        """Judge words that the table does not hold, and let it hold those whose place is free."""
        different, places = np.unique(words, return_inverse=True)
        codes = np.array([_code_of(word) for word in different.tolist()], np.uint8)
        slots = (different * _SPREAD) >> _SHIFT
        free = self._words[slots] == np.uint64(_NO_WORD)
        # Of two that want the same place, the last gets it in both arrays.
        self._words[slots[free]] = different[free]
        self._codes[slots[free]] = codes[free]
        found: Codes = codes[places]
        return found


def words_in(buffer: bytearray, nr_pages: int) -> Words:
    """The words of a buffer, which is not copied."""
    return np.frombuffer(buffer, np.uint64, nr_pages)


def _code_of(word: int) -> int:
    return CODE[kind_of_word(word)] | (_ASK_HEAD if asks_head(word) else 0)


def _as_heads(words: Words, codes: Codes) -> Codes:
    """Let tails that say too little count as their heads do; where the head is not here, by itself.

    Runs will do in place of words: all tails of a page follow its head.
    """
    asking = codes >= _ASK_HEAD
    if not asking.any():
        return codes
    tails = words & np.uint64(TAIL) != 0
    heads = np.maximum.accumulate(np.where(tails, -1, np.arange(len(words))))
    known = asking & (heads >= 0)
    codes &= _ASK_HEAD - 1
    codes[known] = codes[heads[known]]
    return codes
