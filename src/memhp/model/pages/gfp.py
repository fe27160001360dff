"""GFP masks: which zones and which migrate type a request may use.

Source: ``include/linux/gfp_types.h``, ``gfp_zone()``, ``gfp_migratetype()``.
"""

from enum import IntFlag
from typing import Final

from memhp.core.words import ZoneType
from memhp.model.pages.words import MigrateType


class Gfp(IntFlag):
    """The flags that decide where a page comes from.

    Model: what says how hard to try (``__GFP_IO`` and the like) is left out;
    nothing is ever reclaimed or compacted.
    """

    NONE = 0
    DMA = 1
    HIGHMEM = 2
    DMA32 = 4
    MOVABLE = 8
    RECLAIMABLE = 16
    THISNODE = 32
    HIGH = 64
    """``__GFP_HIGH``: may go half way below the minimum mark (``ALLOC_MIN_RESERVE``)."""
    MEMALLOC = 128
    """``__GFP_MEMALLOC``: no mark holds it back (``ALLOC_NO_WATERMARKS``)."""


GFP_KERNEL: Final = Gfp.NONE
GFP_ATOMIC: Final = Gfp.HIGH
GFP_USER: Final = Gfp.NONE
GFP_HIGHUSER: Final = Gfp.HIGHMEM
GFP_HIGHUSER_MOVABLE: Final = Gfp.HIGHMEM | Gfp.MOVABLE
GFP_TRANSHUGE: Final = GFP_HIGHUSER_MOVABLE
GFP_RECLAIMABLE: Final = Gfp.RECLAIMABLE

_PRINTED: Final = {
    "GFP_DMA": Gfp.DMA,
    "GFP_DMA32": Gfp.DMA32,
    "GFP_ATOMIC": Gfp.HIGH,
    "GFP_HIGHUSER": GFP_HIGHUSER,
    "GFP_HIGHUSER_MOVABLE": GFP_HIGHUSER_MOVABLE,
    "GFP_TRANSHUGE": GFP_TRANSHUGE,
    "GFP_TRANSHUGE_LIGHT": GFP_TRANSHUGE,
    "__GFP_DMA": Gfp.DMA,
    "__GFP_DMA32": Gfp.DMA32,
    "__GFP_HIGHMEM": Gfp.HIGHMEM,
    "__GFP_MOVABLE": Gfp.MOVABLE,
    "__GFP_RECLAIMABLE": Gfp.RECLAIMABLE,
    "__GFP_THISNODE": Gfp.THISNODE,
    "__GFP_HIGH": Gfp.HIGH,
    "__GFP_MEMALLOC": Gfp.MEMALLOC,
}


def parse_gfp(text: str) -> Gfp:
    """Read a mask as tracepoints print it (``GFP_KERNEL|__GFP_ZERO``).

    What has no say in where a page comes from is passed over.
    """
    mask = Gfp.NONE
    for word in text.split("|"):
        mask |= _PRINTED.get(word.strip(), Gfp.NONE)
    return mask


def highest_zone(gfp: Gfp) -> ZoneType:
    """The highest zone that a request may use (``gfp_zone()`` on x86-64, without high memory)."""
    if gfp & Gfp.DMA:
        return ZoneType.DMA
    if gfp & Gfp.DMA32:
        return ZoneType.DMA32
    both = Gfp.MOVABLE | Gfp.HIGHMEM
    return ZoneType.MOVABLE if gfp & both == both else ZoneType.NORMAL


def migratetype_of(gfp: Gfp) -> MigrateType:
    """The migrate type of a request (``gfp_migratetype()``)."""
    if gfp & Gfp.MOVABLE:
        return MigrateType.MOVABLE
    return MigrateType.RECLAIMABLE if gfp & Gfp.RECLAIMABLE else MigrateType.UNMOVABLE
