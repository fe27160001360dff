"""Taking chunks from a zone's free lists, one or a thousand at once.

Many at once are taken with the same result, to the page and to the order of
every list, as one by one: a list is used up from its head, each chunk from its
lowest address, smaller orders first. Source: ``__rmqueue()``, ``rmqueue_bulk()``.
"""

import numpy as np

from memhp.model.pages.area import NONE, Area
from memhp.model.pages.fallback import claim, fall_back, steal
from memhp.model.pages.frames import (
    CACHED,
    CACHED_TAIL,
    MOVABLE,
    MOVABLE_TAIL,
    UNMOVABLE,
    UNMOVABLE_TAIL,
    Pfns,
)
from memhp.model.pages.split import take_own
from memhp.model.pages.words import MigrateType


def write_used(area: Area, heads: Pfns, order: int, migratetype: MigrateType) -> None:
    """Write down that chunks are in use, while their request goes on elsewhere."""
    movable = migratetype == MigrateType.MOVABLE
    _fill(area, heads, order, MOVABLE if movable else UNMOVABLE)


class _Taken:
    """What a request has got so far; ``fresh`` is what no frame says yet."""

    __slots__ = ("fresh", "got", "parts")

    def __init__(self, parts: list[Pfns]) -> None:
        self.parts: list[Pfns] = []
        self.fresh: list[Pfns] = []
        self.got = 0
        self.add(parts)

    def add(self, parts: list[Pfns]) -> None:
        self.parts += parts
        self.fresh += parts
        self.got += sum(map(len, parts))


def take(
    area: Area,
    order: int,
    migratetype: MigrateType,
    wanted: int,
    *,
    refill: int = 1,
    nofragment: bool = False,
) -> Pfns:
    """Take up to so many chunks from the free lists, and give their first frames in order.

    Who gets them writes what their frames become, before anything else is
    taken from the zone. ``refill`` is how many belong to one call of
    ``rmqueue_bulk()``: within one, 6.12 goes on stealing where it has begun to.
    """
    taken = _Taken(take_own(area, order, migratetype, wanted))
    while taken.got < wanted:
        _write(area, taken, order, migratetype, refill)
        most = min(wanted - taken.got, refill - taken.got % refill)
        more = _foreign(area, order, migratetype, most, nofragment=nofragment)
        if more is None:
            break
        taken.add(more)
        taken.add(take_own(area, order, migratetype, wanted - taken.got))
    if len(taken.parts) == 1:
        return taken.parts[0]
    return np.concatenate(taken.parts) if taken.parts else NONE


def _foreign(
    area: Area, order: int, migratetype: MigrateType, most: int, *, nofragment: bool
) -> list[Pfns] | None:
    """Turn to other types, once; gives what came of it, ``None`` where nothing did.

    6.1 brings chunks over to the own lists, and gives none itself.
    """
    if not area.claims_apart:
        return [] if fall_back(area, order, migratetype, nofragment=nofragment) else None
    claimed = claim(area, order, migratetype, nofragment=nofragment)
    if claimed >= 0:
        return [np.array([claimed])]
    return None if nofragment else steal(area, order, migratetype, most) or None


def _write(area: Area, taken: _Taken, order: int, migratetype: MigrateType, refill: int) -> None:
    """Write down what was taken, since falling back counts what is in a pageblock.

    What earlier refills brought is in use by now; that of this one waits.
    """
    if not taken.fresh:
        return
    fresh = np.concatenate(taken.fresh)
    used = max(0, len(fresh) - taken.got % refill)
    write_used(area, fresh[:used], order, migratetype)
    _fill(area, fresh[used:], order, CACHED)
    taken.fresh = [fresh[used:]]


_TAILS = {MOVABLE: MOVABLE_TAIL, UNMOVABLE: UNMOVABLE_TAIL, CACHED: CACHED_TAIL}


def _fill(area: Area, heads: Pfns, order: int, code: int) -> None:
    state = area.frames.state
    if order and len(heads):
        state[(heads[:, None] + np.arange(1 << order)).ravel()] = _TAILS[code]
    state[heads] = code | order
