"""Counting a range's pages by what they are to someone who wants their block."""

import numpy as np

from memhp.core.census import PageKind
from memhp.core.geometry import PAGES_PER_SECTION
from memhp.model.pages.frames import (
    CACHED,
    CACHED_TAIL,
    CLASS,
    FREE,
    FREE_TAIL,
    MOVABLE,
    MOVABLE_TAIL,
    OFFLINE_PAGE,
    POISONED,
    RESERVED,
    SELF_HOSTED,
    UNMOVABLE,
    UNMOVABLE_TAIL,
    UNTOUCHED,
)
from memhp.model.pages.pages import Pages


def census(pages: Pages, start: int, end: int) -> dict[PageKind, int]:
    """Count pages by kind; kinds that are not there are left out."""
    per_code = np.bincount(pages.frames.state[start:end], minlength=256)
    counts = dict.fromkeys(PageKind, 0)
    for code in np.flatnonzero(per_code).tolist():
        counts[_kind_of(code)] += int(per_code[code])
    sections = slice(start // PAGES_PER_SECTION, -(-end // PAGES_PER_SECTION))
    untouched = int(np.count_nonzero(pages.frames.pristine[sections])) * PAGES_PER_SECTION
    counts[PageKind.FREE] += untouched
    counts[PageKind.HOLE] -= untouched
    return {kind: number for kind, number in counts.items() if number}


def _kind_of(code: int) -> PageKind:
    if code & FREE or code in {FREE_TAIL, CACHED_TAIL} or code & CLASS == CACHED:
        return PageKind.FREE
    if code & CLASS == MOVABLE or code == MOVABLE_TAIL:
        return PageKind.MOVABLE
    if code & CLASS == UNMOVABLE or code in {UNMOVABLE_TAIL, RESERVED, SELF_HOSTED}:
        return PageKind.UNMOVABLE
    return {
        OFFLINE_PAGE: PageKind.DRIVER,
        POISONED: PageKind.POISONED,
        UNTOUCHED: PageKind.HOLE,
    }.get(code, PageKind.UNKNOWN)
