"""Isolating pageblocks, finding what cannot be moved, and taking isolated ranges away.

Source: ``start_isolate_page_range()``, ``set_migratetype_isolate()``,
``has_unmovable_pages()``, ``unset_migratetype_isolate()``,
``__offline_isolated_pages()``.
"""

from collections.abc import Collection

import numpy as np
import numpy.typing as npt

from memhp.core.geometry import (
    MAX_ORDER_NR_PAGES,
    PAGES_PER_PAGEBLOCK,
    PAGES_PER_SECTION,
)
from memhp.core.words import ZoneType
from memhp.model.page_level import Obstacle
from memhp.model.pages.area import Area
from memhp.model.pages.frames import (
    CLASS,
    FREE,
    FREE_TAIL,
    OFFLINE_PAGE,
    ORDER,
    RESERVED,
    SELF_HOSTED,
    TAILS,
    TYPE_SHIFT,
    UNMOVABLE,
    UNMOVABLE_TAIL,
    Bytes,
    Pfns,
)
from memhp.model.pages.pages import Pages
from memhp.model.pages.split import pieces
from memhp.model.pages.words import KIND_NUMBER, MAX_ORDER, PAGEBLOCK_ORDER, MigrateType


def find_obstacle(
    pages: Pages, start: int, end: int, poisoned: Collection[int] = ()
) -> tuple[int, int] | None:
    """Find the first frame at which isolating a range stops, and the pageblocks done before.

    Pageblocks are looked at as the kernel does: the first, the last, then the
    ones in between. In ``ZONE_MOVABLE`` only reserved pages count, and a
    poisoned page counts nowhere but where it is reserved.
    """
    area = pages.area_of(start)
    if area is None:
        return None
    bad = _unmovable(pages, area, start, end)
    for pfn in poisoned:
        bad[pfn - start] &= pages.frames.state_view[pfn] == RESERVED
    (places,) = np.nonzero(bad.reshape(-1, PAGES_PER_PAGEBLOCK).any(axis=1))
    if not len(places):
        return None
    last = (end - start) // PAGES_PER_PAGEBLOCK - 1
    turns = np.where(places == 0, 0, np.where(places == last, 1, places + 1))
    turn = int(turns.min())
    place = int(places[turns == turn][0])
    inside = bad[place * PAGES_PER_PAGEBLOCK : (place + 1) * PAGES_PER_PAGEBLOCK]
    return start + place * PAGES_PER_PAGEBLOCK + int(np.argmax(inside)), turn


def describe(pages: Pages, pfn: int) -> Obstacle:
    """Say what is at a frame that cannot move."""
    code = pages.frames.state_view[pfn]
    if code == RESERVED:
        return Obstacle(pfn=pfn, what="reserved at boot", owner="the kernel")
    if code == SELF_HOSTED:
        return Obstacle(pfn=pfn, what="memory map", owner="its own block")
    holding = pages.holders.at(head_of(pages, pfn))
    return Obstacle(pfn=pfn, what=holding.kind.value, owner=holding.owner)


def head_of(pages: Pages, pfn: int) -> int:
    """The first frame of the chunk that a held frame is in."""
    view = pages.frames.state_view
    order = 0
    while view[pfn] & CLASS == TAILS:
        order += 1
        pfn &= ~((1 << order) - 1)
    return pfn


def isolate_range(
    pages: Pages, start: int, end: int, poisoned: Collection[int] = ()
) -> Obstacle | None:
    """Isolate a range; where a page stands in the way, undo it and say which.

    The pageblocks that were isolated before the one that refused are movable
    afterwards, whatever they were.
    """
    area = pages.area_of(start)
    if area is None:
        return None
    found = find_obstacle(pages, start, end, poisoned)
    if found is None:
        _isolate(pages, area, start, end)
        return None
    pfn, turn = found
    for low, high in _done_before(start, end, turn):
        _isolate(pages, area, low, high)
        unisolate(pages, low, high)
    return describe(pages, pfn)


def unisolate(pages: Pages, start: int, end: int) -> None:
    """Make isolated pageblocks movable again; their free chunks go to the tails, merged."""
    area = pages.area_of(start)
    if area is None:
        return
    frames = pages.frames
    for section in _pristine_sections(pages, start, end, isolated=True):
        area.largest.push_sections(range(section, section + 1))
        area.account(MigrateType.MOVABLE, PAGES_PER_SECTION)
        area.account(MigrateType.ISOLATE, -PAGES_PER_SECTION)
    blocks = slice(start // PAGES_PER_PAGEBLOCK, end // PAGES_PER_PAGEBLOCK)
    area.isolated_blocks -= int(np.count_nonzero(frames.migratetype[blocks] == MigrateType.ISOLATE))
    frames.migratetype[blocks] = MigrateType.MOVABLE
    heads = free_heads(pages, start, end)
    orders = frames.state[heads] & ORDER
    _unlist(area, heads, frames.state[heads])
    for pfn, order in zip(heads.tolist(), orders.tolist(), strict=True):
        _return(area, pfn, order)


def remove_range(pages: Pages, start: int, end: int) -> None:
    """Take an isolated range off the lists and out of its zone: no frame is left to touch."""
    if _off_the_lists(pages, start, end):
        blocks = slice(start // PAGES_PER_PAGEBLOCK, end // PAGES_PER_PAGEBLOCK)
        pages.frames.migratetype[blocks] = 0
        pages.frames.zone[blocks] = 0
        pages.frames.forget(start, end)


def take_range(pages: Pages, start: int, end: int) -> None:
    """Take an isolated range off the lists for a driver that hands it to the host."""
    if _off_the_lists(pages, start, end):
        blocks = slice(start // PAGES_PER_PAGEBLOCK, end // PAGES_PER_PAGEBLOCK)
        pages.frames.migratetype[blocks] = MigrateType.MOVABLE
        pages.frames.state[start:end] = OFFLINE_PAGE


def _off_the_lists(pages: Pages, start: int, end: int) -> bool:
    area = pages.area_of(start)
    if area is None:
        return False
    frames = pages.frames
    for section in _pristine_sections(pages, start, end, isolated=True):
        frames.pristine[section] = 0
        area.account(MigrateType.ISOLATE, -PAGES_PER_SECTION)
    heads = free_heads(pages, start, end)
    _unlist(area, heads, frames.state[heads])
    blocks = slice(start // PAGES_PER_PAGEBLOCK, end // PAGES_PER_PAGEBLOCK)
    area.isolated_blocks -= int(np.count_nonzero(frames.migratetype[blocks] == MigrateType.ISOLATE))
    return True


def free_heads(pages: Pages, start: int, end: int) -> Pfns:
    """The heads of the free chunks in a range, ascending."""
    (places,) = np.nonzero(pages.frames.state[start:end] & FREE)
    return places + start


def _unmovable(pages: Pages, area: Area, start: int, end: int) -> npt.NDArray[np.bool_]:
    """Which frames ``has_unmovable_pages()`` stops at."""
    codes = pages.frames.state[start:end]
    bad: npt.NDArray[np.bool_] = codes == RESERVED
    if area.zone is not ZoneType.MOVABLE:
        bad |= _of_the_kernel(pages, start, codes)
    return bad


def _of_the_kernel(pages: Pages, start: int, codes: Bytes) -> npt.NDArray[np.bool_]:
    """Which frames are of kernel chunks, but for the kinds that a switch lets move."""
    tails = codes == UNMOVABLE_TAIL
    held: npt.NDArray[np.bool_] = (codes & CLASS == UNMOVABLE) | tails
    if pages.also_movable and held.any():
        heads = np.maximum.accumulate(np.where(tails, 0, np.arange(len(codes))))[held] + start
        kinds = pages.holders.kind_of[pages.holders.numbers_at(heads)]
        moving = np.isin(kinds, [KIND_NUMBER[kind] for kind in pages.also_movable])
        held[np.flatnonzero(held)[moving]] = False
    return held


def _done_before(start: int, end: int, turn: int) -> list[tuple[int, int]]:
    """The pageblocks that come before a turn: first, last, the others."""
    done = [(start, start + PAGES_PER_PAGEBLOCK)] if turn > 0 else []
    if turn > 1:
        done.append((end - PAGES_PER_PAGEBLOCK, end))
        middle = start + (turn - 1) * PAGES_PER_PAGEBLOCK
        if middle > start + PAGES_PER_PAGEBLOCK:
            done.append((start + PAGES_PER_PAGEBLOCK, middle))
    return done


def _isolate(pages: Pages, area: Area, start: int, end: int) -> None:
    """Set the type of pageblocks and move their free chunks, none larger than a pageblock."""
    frames = pages.frames
    for section in _pristine_sections(pages, start, end, isolated=False):
        whole = section * PAGES_PER_SECTION >= start and (section + 1) * PAGES_PER_SECTION <= end
        if not whole:
            area.largest.touch_section(section)
            continue
        area.largest.remove_section(section)
        frames.pristine[section] = frames.ISOLATED
        area.account(MigrateType.MOVABLE, -PAGES_PER_SECTION)
        area.account(MigrateType.ISOLATE, PAGES_PER_SECTION)
    _cut_at(pages, area, start)
    _cut_at(pages, area, end)
    heads = free_heads(pages, start, end)
    codes = frames.state[heads]
    _unlist(area, heads, codes)
    blocks = slice(start // PAGES_PER_PAGEBLOCK, end // PAGES_PER_PAGEBLOCK)
    frames.migratetype[blocks] = MigrateType.ISOLATE
    area.isolated_blocks += (end - start) // PAGES_PER_PAGEBLOCK
    orders = codes & ORDER
    for order in np.unique(orders).tolist():
        least = min(order, PAGEBLOCK_ORDER)
        chosen = pieces(heads[orders == order], order, least)
        area.put_many(chosen, least, MigrateType.ISOLATE)
        area.account(MigrateType.ISOLATE, len(chosen) << least)


def _cut_at(pages: Pages, area: Area, pfn: int) -> None:
    """Split a largest free chunk that reaches over a border of what is isolated."""
    if pfn % MAX_ORDER_NR_PAGES == 0:
        return
    head = pfn - PAGES_PER_PAGEBLOCK
    code = pages.frames.state_view[head]
    if code & FREE and code & ORDER == MAX_ORDER:
        migratetype = (code & ~FREE) >> TYPE_SHIFT
        area.lists[migratetype][MAX_ORDER].remove(head)
        for part in (head, pfn):
            area.put(part, PAGEBLOCK_ORDER, migratetype)


def _return(area: Area, pfn: int, order: int) -> None:
    """Put a chunk on the movable lists, at the tail, with its buddy if that is there already."""
    buddy = pfn ^ (1 << order)
    if order == PAGEBLOCK_ORDER:
        code = area.frames.state_view[buddy]
        theirs = (code & ~FREE) >> TYPE_SHIFT
        free = code & FREE and code & ORDER == order and theirs != MigrateType.ISOLATE
        if free and area.frames.zone_of(buddy) == area.index:
            area.lists[theirs][order].remove(buddy)
            area.frames.state_view[max(pfn, buddy)] = FREE_TAIL
            area.frames.migratetype[buddy // PAGES_PER_PAGEBLOCK] = MigrateType.MOVABLE
            area.account(MigrateType.MOVABLE, 1 << order)
            area.put(min(pfn, buddy), order + 1, MigrateType.MOVABLE, tail=True)
            return
    area.put(pfn, order, MigrateType.MOVABLE, tail=True)
    area.account(MigrateType.MOVABLE, 1 << order)


def _unlist(area: Area, heads: Pfns, codes: Bytes) -> None:
    """Take free chunks off whatever lists they are on, and count them off."""
    keys = codes & ~np.uint8(FREE)
    for key in np.unique(keys).tolist():
        chosen = heads[keys == key]
        migratetype, order = key >> TYPE_SHIFT, key & ORDER
        area.lists[migratetype][order].remove_many(chosen)
        area.account(migratetype, -(len(chosen) << order))


def _pristine_sections(pages: Pages, start: int, end: int, *, isolated: bool) -> list[int]:
    first, last = start // PAGES_PER_SECTION, -(-end // PAGES_PER_SECTION)
    wanted = pages.frames.ISOLATED if isolated else 1
    (found,) = np.nonzero(pages.frames.pristine[first:last] == wanted)
    return [int(place) + first for place in found]
