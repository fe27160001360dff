"""Where a request goes when the lists of its own migrate type are empty.

Source: ``fallbacks[]``, ``find_suitable_fallback()``, ``can_steal_fallback()``;
6.12 ``__rmqueue_claim()``, ``try_to_steal_block()``, ``__rmqueue_steal()``;
6.1 ``__rmqueue_fallback()``, ``steal_suitable_fallback()``.

Model: watermark boosts are left out, and with them what they make kswapd do.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np

from memhp.core.geometry import PAGES_PER_PAGEBLOCK
from memhp.model.pages.area import Area
from memhp.model.pages.frames import (
    CLASS,
    FREE,
    MOVABLE,
    MOVABLE_TAIL,
    ORDER,
    TYPE_SHIFT,
    Pfns,
    free_head,
)
from memhp.model.pages.split import put_rest, take_from, take_own
from memhp.model.pages.words import MAX_ORDER, NR_ORDERS, PAGEBLOCK_ORDER, MigrateType

_UNMOVABLE, _MOVABLE, _RECLAIMABLE = (
    MigrateType.UNMOVABLE,
    MigrateType.MOVABLE,
    MigrateType.RECLAIMABLE,
)
FALLBACKS: Final = {
    _UNMOVABLE: (_RECLAIMABLE, _MOVABLE),
    _MOVABLE: (_RECLAIMABLE, _UNMOVABLE),
    _RECLAIMABLE: (_UNMOVABLE, _MOVABLE),
}
_ENOUGH: Final = PAGES_PER_PAGEBLOCK // 2
"""A pageblock is claimed where so many of its pages are free or alike."""


class _Content(NamedTuple):
    """A pageblock: heads of its free chunks, pages in them, and movable pages."""

    heads: Pfns
    free: int
    movable: int


def claim(area: Area, order: int, migratetype: MigrateType, *, nofragment: bool) -> int:
    """Claim a pageblock of another type and take a chunk from it; -1 where none can be (6.12)."""
    for larger in range(MAX_ORDER, _least_order(order, nofragment=nofragment) - 1, -1):
        other = _first_fallback(area, migratetype, larger)
        if other is None:
            continue
        if not _can_steal(larger, migratetype):
            break
        if larger >= PAGEBLOCK_ORDER:
            return _own_and_split(area, order, migratetype, other, larger)
        pfn = area.lists[other][larger].first()
        content = _content(area, pfn)
        if content.free + _alike(area, pfn, migratetype, content) >= _ENOUGH:
            _move_free(area, content.heads, migratetype)
            _set_type(area, pfn, PAGEBLOCK_ORDER, migratetype)
            return int(take_own(area, order, migratetype, 1)[0][0])
    return -1


def steal(area: Area, order: int, migratetype: MigrateType, wanted: int) -> list[Pfns]:
    """Take chunks of other types, the smallest first, and leave the pageblocks theirs (6.12)."""
    parts: list[Pfns] = []
    for larger in range(order, NR_ORDERS):
        for other in FALLBACKS[migratetype]:
            if wanted and area.lists[other][larger].count:
                parts.append(take_from(area, other, larger, order, wanted))
                wanted -= len(parts[-1])
    return parts


def fall_back(area: Area, order: int, migratetype: MigrateType, *, nofragment: bool) -> bool:
    """Bring chunks of another type over to this one's lists; false where there are none (6.1)."""
    for larger in _orders_to_try(area, order, migratetype, nofragment=nofragment):
        other = _first_fallback(area, migratetype, larger)
        if other is not None:
            pfn = area.lists[other][larger].first()
            _bring_over(area, pfn, larger, migratetype, whole=_can_steal(larger, migratetype))
            return True
    return False


def _orders_to_try(
    area: Area, order: int, migratetype: MigrateType, *, nofragment: bool
) -> Iterator[int]:
    """The largest first; the smallest first where a whole pageblock may not be taken."""
    for larger in range(MAX_ORDER, _least_order(order, nofragment=nofragment) - 1, -1):
        if _first_fallback(area, migratetype, larger) is None:
            continue
        movable = migratetype == _MOVABLE
        if movable and larger > order and not _can_steal(larger, migratetype):
            yield from range(order, NR_ORDERS)
        yield larger


def _bring_over(area: Area, pfn: int, order: int, migratetype: int, *, whole: bool) -> None:
    if order >= PAGEBLOCK_ORDER:
        _set_type(area, pfn, order, migratetype)
        _move_free(area, np.array([pfn]), migratetype)
        return
    content = _content(area, pfn) if whole else None
    if content is None:
        _move_free(area, np.array([pfn]), migratetype)
        return
    alike = _alike(area, pfn, migratetype, content)
    _move_free(area, content.heads, migratetype)
    if content.free + alike >= _ENOUGH:
        _set_type(area, pfn, PAGEBLOCK_ORDER, migratetype)


def _own_and_split(
    area: Area, order: int, migratetype: MigrateType, other: MigrateType, larger: int
) -> int:
    pfn = area.lists[other][larger].pop()
    _set_type(area, pfn, larger, migratetype)
    put_rest(area, migratetype, pfn + (1 << order), pfn + (1 << larger))
    area.account(other, -(1 << order))
    return pfn


def _least_order(order: int, *, nofragment: bool) -> int:
    return max(order, PAGEBLOCK_ORDER) if nofragment else order


def _first_fallback(area: Area, migratetype: MigrateType, order: int) -> MigrateType | None:
    for other in FALLBACKS[migratetype]:
        if area.lists[other][order].count:
            return other
    return None


def _can_steal(order: int, migratetype: MigrateType) -> bool:
    return order >= PAGEBLOCK_ORDER // 2 or migratetype != _MOVABLE


def _content(area: Area, pfn: int) -> _Content:
    start = pfn // PAGES_PER_PAGEBLOCK * PAGES_PER_PAGEBLOCK
    codes = area.frames.state[start : start + PAGES_PER_PAGEBLOCK]
    (heads,) = np.nonzero(codes & FREE)
    movable = np.count_nonzero((codes & CLASS == MOVABLE) | (codes == MOVABLE_TAIL))
    sizes = np.left_shift(1, codes[heads] & ORDER, dtype=np.int64)
    return _Content(heads + start, int(sizes.sum()), int(movable))


def _alike(area: Area, pfn: int, migratetype: int, content: _Content) -> int:
    """How many pages in use are of the requester's mobility, as far as can be told."""
    if migratetype == _MOVABLE:
        return content.movable
    if area.frames.migratetype[pfn // PAGES_PER_PAGEBLOCK] == _MOVABLE:
        return PAGES_PER_PAGEBLOCK - content.free - content.movable
    return 0


def _move_free(area: Area, heads: Pfns, migratetype: int) -> None:
    """Move free chunks to the tails of another type's lists, in order of address."""
    view = area.frames.state_view
    for pfn in heads.tolist():
        code = view[pfn]
        order = code & ORDER
        area.lists[(code & ~FREE) >> TYPE_SHIFT][order].remove(pfn)
        view[pfn] = free_head(migratetype, order)
        area.lists[migratetype][order].push(pfn, tail=True)


def _set_type(area: Area, pfn: int, order: int, migratetype: int) -> None:
    first = pfn // PAGES_PER_PAGEBLOCK
    nr_blocks = max(1, (1 << order) // PAGES_PER_PAGEBLOCK)
    area.frames.migratetype[first : first + nr_blocks] = migratetype
