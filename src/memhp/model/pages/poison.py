"""Taking single pages out of use: what holds them decides how.

Source: ``memory_failure()``, ``take_page_off_buddy()``, ``soft_offline_in_use_page()``.

Model: which process a lost page belonged to, and that it is killed, is not told.
"""

import errno
from enum import StrEnum

import numpy as np

from memhp.model.pages.allocate import Request
from memhp.model.pages.area import Area
from memhp.model.pages.frames import CACHED, CACHED_TAIL, CLASS, FREE, POISONED, TYPE_SHIFT
from memhp.model.pages.isolate import head_of
from memhp.model.pages.migrate import mask_for
from memhp.model.pages.pages import Pages
from memhp.model.pages.split import put_rest
from memhp.model.pages.words import HUGETLB_KINDS
from memhp.model.steps import KernelRefusal


class Recovery(StrEnum):
    """What the kernel says that it did (``action_page_types[]``)."""

    FREE = "free buddy page"
    LRU = "clean LRU page"
    HUGE = "huge page"
    KERNEL = "reserved kernel page"


def poison(pages: Pages, pfn: int) -> Recovery:
    """Take a page away from whoever has it; for a kernel page, nothing but say so."""
    area = _area(pages, pfn)
    if _is_free(pages, area, pfn):
        _take_off(pages, area, pfn)
        return Recovery.FREE
    if pages.frames.state_view[pfn] & CLASS == POISONED & CLASS:
        return Recovery.KERNEL
    holding = pages.holders.at(head_of(pages, pfn))
    if holding.kind in HUGETLB_KINDS or not holding.movable:
        return Recovery.HUGE if holding.movable else Recovery.KERNEL
    _take_from_holder(pages, pfn)
    return Recovery.LRU


def soft_poison(pages: Pages, pfn: int) -> None:
    """Take a page out of use and lose nothing: its content moves first.

    Raises ``KernelRefusal``: EIO for what cannot be moved, EBUSY without room
    or where somebody pins it; then the page stays in use.
    """
    area = _area(pages, pfn)
    if _is_free(pages, area, pfn):
        _take_off(pages, area, pfn)
        return
    if pages.frames.state_view[pfn] & CLASS == POISONED & CLASS:
        raise KernelRefusal(errno.EIO, f"page frame {pfn:#x} cannot be moved: reserved")
    head = head_of(pages, pfn)
    holding = pages.holders.at(head)
    if not holding.movable or holding.kind in HUGETLB_KINDS:
        raise KernelRefusal(errno.EIO, f"page frame {pfn:#x} cannot be moved: {holding.kind}")
    if holding.pinned:
        raise KernelRefusal(errno.EBUSY, f"page frame {pfn:#x} is pinned")
    request = Request(gfp=mask_for(area, 0), node=area.node)
    target = pages.take(request)
    if not len(target):
        raise KernelRefusal(errno.EBUSY, f"no room elsewhere for page frame {pfn:#x}")
    if holding.order:
        pages.holders.split(head)
    pages.holders.move(np.array([pfn]), target)
    pages.frames.state_view[pfn] = POISONED


def _area(pages: Pages, pfn: int) -> Area:
    area = pages.area_of(pfn)
    if area is None:
        raise KernelRefusal(errno.ENXIO, f"page frame {pfn:#x} is not online")
    return area


def _is_free(pages: Pages, area: Area, pfn: int) -> bool:
    """Whether a page is free; one that waits on a per-cpu list is drained to see."""
    if pages.frames.pristine[pfn // 32768]:
        area.largest.touch_section(pfn // 32768)
    code = pages.frames.state_view[pfn]
    if code & CLASS == CACHED or code == CACHED_TAIL:
        pages.drain()
    return bool(pages.frames.state_view[head_of(pages, pfn)] & FREE)


def _take_off(pages: Pages, area: Area, pfn: int) -> None:
    """Split the free chunk around a page and leave the page out (``break_down_buddy_pages()``)."""
    head = head_of(pages, pfn)
    migratetype = (pages.frames.state_view[head] & ~FREE) >> TYPE_SHIFT
    order = area.unlist(head)
    put_rest(area, migratetype, pfn + 1, head + (1 << order))
    _put_below(area, migratetype, head, pfn)
    area.account(migratetype, (1 << order) - 1)
    pages.frames.state_view[pfn] = POISONED


def _put_below(area: Area, migratetype: int, start: int, end: int) -> None:
    """Put the part of a chunk below a page on the lists."""
    while start < end:
        order = (end - start).bit_length() - 1
        area.put(start, order, migratetype)
        start += 1 << order


def _take_from_holder(pages: Pages, pfn: int) -> None:
    head = head_of(pages, pfn)
    if pages.holders.at(head).order:
        pages.holders.split(head)
    pages.holders.let_go(np.array([pfn]))
    pages.frames.state_view[pfn] = POISONED
