"""Cutting chunks: what is wanted from their low end, the rest back on the lists in halves.

Source: ``__rmqueue_smallest()``, ``expand()``.
"""

import numpy as np

from memhp.model.pages.area import Area
from memhp.model.pages.frames import Pfns
from memhp.model.pages.words import NR_ORDERS


def take_own(area: Area, order: int, migratetype: int, wanted: int) -> list[Pfns]:
    """Take chunks from the lists of one type, smaller orders first; may find fewer."""
    parts: list[Pfns] = []
    for larger in range(order, NR_ORDERS):
        if wanted == 0:
            break
        if area.lists[migratetype][larger].count:
            part = take_from(area, migratetype, larger, order, wanted)
            wanted -= len(part)
            parts.append(part)
    return parts


def take_from(area: Area, migratetype: int, larger: int, order: int, wanted: int) -> Pfns:
    """Take chunks of an order from one list of larger ones, its head first."""
    per = 1 << larger - order
    found = area.lists[migratetype][larger]
    if wanted == 1:
        pfn = found.pop()
        put_rest(area, migratetype, pfn + (1 << order), pfn + (1 << larger))
        area.account(migratetype, -(1 << order))
        return np.array([pfn])
    units = pieces(found.pop_many(-(-wanted // per)), larger, order)
    if len(units) > wanted:
        end = int(units[-1]) + (1 << order)
        put_rest(area, migratetype, int(units[wanted]), end)
        units = units[:wanted]
    area.account(migratetype, -(len(units) << order))
    return units


def pieces(heads: Pfns, larger: int, order: int) -> Pfns:
    """Cut chunks into smaller ones, each from its lowest address."""
    if larger == order:
        return heads
    steps = np.arange(0, 1 << larger, 1 << order, dtype=np.int64)
    cut: Pfns = (heads[:, None] + steps).ravel()
    return cut


def put_rest(area: Area, migratetype: int, start: int, end: int) -> None:
    """Put the upper part of a chunk on the lists, in the pieces that halving makes of it.

    Counts are the caller's. The lists for these pieces are empty, or get one
    piece each, so that their order does not matter.
    """
    while start < end:
        order = (start & -start).bit_length() - 1
        area.put(start, order, migratetype)
        start += 1 << order
