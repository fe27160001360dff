"""Words counted many at a time, held against one at a time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memhp.core.census import PageKind
from memhp.machines.linux.count_words import KINDS, WordCounter
from memhp.machines.linux.page_words import asks_head, kind_of_word

HEAD, TAIL = 1 << 15, 1 << 16
SEEN = (
    0x0,
    0x400,
    0x408,
    0x100000000,
    0x100000,
    0x5828,
    0x205828,
    0x205828 | HEAD | 1 << 22,
    0x205828 | TAIL | 1 << 22,
    0x5828 | HEAD | 1 << 22 | 1 << 33 | 1 << 18,
    1 << 11 | 1 << 12 | TAIL | 1 << 22,
    1 << 7 | HEAD,
    1 << 7 | TAIL,
    TAIL,
    HEAD,
    TAIL | 1 << 22 | 1 << 19,
    1 << 17 | HEAD | 1 << 4,
    1 << 17 | TAIL,
    1 << 17 | TAIL | 1 << 11,
    1 << 37,
    1 << 37 | 1 << 32,
    1 << 23,
    1 << 26 | 1 << 11,
    0x28,
    0x38,
    0x128,
    0x4028,
)
"""Words as 6.1 and 6.12 print them."""
words = st.one_of(st.sampled_from(SEEN), st.integers(0, (1 << 64) - 1))


def one_at_a_time(found: list[int], *, begins_block: bool) -> dict[PageKind, int]:
    """The same rules in the order of the pages."""
    counts = dict.fromkeys(PageKind, 0)
    head: PageKind | None = None
    at_start = begins_block
    for word in found:
        kind = kind_of_word(word)
        if not word & TAIL:
            head = kind
        elif asks_head(word) and head is not None:
            kind = head
        at_start = at_start and kind is PageKind.OWN_MAP
        if kind is PageKind.OWN_MAP and not at_start:
            kind = PageKind.KERNEL
        counts[kind] += 1
    return counts


def counted(counter: WordCounter, found: list[int], *, begins_block: bool) -> dict[PageKind, int]:
    numbers = counter.runs(np.array(found, np.uint64), begins_block=begins_block).sums()
    return dict(zip(KINDS, numbers.tolist(), strict=True))


@given(st.lists(words, min_size=1, max_size=60), st.booleans())
def test_many_at_a_time_are_as_one_at_a_time(found: list[int], begins_block: bool) -> None:
    counter = WordCounter()
    expected = one_at_a_time(found, begins_block=begins_block)
    assert counted(counter, found, begins_block=begins_block) == expected
    # Now every word has been seen before.
    assert counted(counter, found, begins_block=begins_block) == expected


def test_more_different_words_than_the_table_has_places() -> None:
    rng = np.random.default_rng(1)
    found = rng.integers(0, 1 << 62, 20_000, np.uint64)
    counter = WordCounter()
    expected = one_at_a_time(found.tolist(), begins_block=False)
    for _ in range(2):
        assert counted(counter, found.tolist(), begins_block=False) == expected


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        (0x0, PageKind.UNKNOWN),
        (0x400, PageKind.FREE),
        (0x100000, PageKind.HOLE),
        (0x80400, PageKind.POISONED),
        (0x5828, PageKind.ANON),
        (0x205828, PageKind.ANON),
        (0x205828 | HEAD | 1 << 22, PageKind.HUGE),
        (0x5808, PageKind.ANON),
        (0x28, PageKind.CACHE),
        (0x38, PageKind.DIRTY),
        (0x5838, PageKind.ANON),
        (0x128, PageKind.WRITEBACK),
        (0x4028, PageKind.SHMEM),
        (0x5828 | 1 << 33 | 1 << 18, PageKind.MLOCKED),
        (1 << 17 | HEAD | 1 << 11, PageKind.HUGETLB),
        (1 << 17 | HEAD | 1 << 4, PageKind.HUGETLB),
        (1 << 17 | HEAD, PageKind.HUGETLB_FREE),
        (1 << 7 | HEAD, PageKind.SLAB),
        (1 << 26 | 1 << 11, PageKind.TABLE),
        (1 << 32, PageKind.RESERVED),
        (1 << 23, PageKind.DRIVER),
        (HEAD, PageKind.KERNEL),
        (1 << 22 | 1 << 24 | HEAD, PageKind.KERNEL),
        (1 << 35, PageKind.UNKNOWN),
        (1 << 37, PageKind.OWN_MAP),
    ],
)
def test_a_word_says_what_its_page_is(word: int, kind: PageKind) -> None:
    assert kind_of_word(word) is kind


def test_tails_of_an_old_kernel_are_what_their_head_is() -> None:
    locked = 0x5828 | HEAD | 1 << 22 | 1 << 33
    found = [locked, *[1 << 11 | 1 << 12 | TAIL | 1 << 22] * 511]
    assert counted(WordCounter(), found, begins_block=True)[PageKind.MLOCKED] == 512
