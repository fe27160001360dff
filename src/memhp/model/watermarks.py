"""Watermarks and reserves of the zones, from what each has managed.

Source: ``init_per_zone_wmark_min()``, ``__setup_per_zone_wmarks()``,
``setup_per_zone_lowmem_reserve()``, ``set_recommended_min_free_kbytes()``.
"""

from dataclasses import dataclass
from math import isqrt
from typing import Final

from memhp.core.geometry import PAGES_PER_PAGEBLOCK
from memhp.core.words import ZoneType
from memhp.model.kernel import Kernel
from memhp.model.zones import Zone

CLASSES: Final = tuple(ZoneType)
_RESERVE_RATIO: Final = {
    ZoneType.DMA: 256,
    ZoneType.DMA32: 256,
    ZoneType.NORMAL: 32,
    ZoneType.MOVABLE: 0,
    ZoneType.DEVICE: 0,
}
_SCALE_FACTOR: Final = 10
_KB_PER_PAGE: Final = 4
_MIGRATE_PCPTYPES: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Watermarks:
    """The marks of one zone, in pages."""

    minimum: int
    low: int
    high: int
    promo: int


def min_free_kbytes(kernel: Kernel) -> int:
    """``vm.min_free_kbytes`` as the kernel sets it, huge pages enabled.

    Each populated kernel zone needs room for a few pageblocks
    (``set_recommended_min_free_kbytes()``), up to a twentieth of low memory.

    Model: the high marks that the first of the two rules takes off low memory
    are left out; with huge pages enabled the second is always the larger.
    """
    kernel_zones = [z for z in kernel.populated_zones() if z.zone.holds_kernel_memory]
    lowmem = sum(zone.managed for zone in kernel_zones)
    by_size = min(max(isqrt(16 * lowmem * _KB_PER_PAGE), 128), 262144)
    blocks = len(kernel_zones) * (2 + _MIGRATE_PCPTYPES * _MIGRATE_PCPTYPES)
    recommended = min(blocks * PAGES_PER_PAGEBLOCK, lowmem // 20)
    return max(by_size, recommended * _KB_PER_PAGE)


def watermarks(kernel: Kernel, zone: Zone) -> Watermarks:
    """The marks of a zone.

    From 6.12 on low memory leaves ``ZONE_MOVABLE`` out, which has a small
    minimum of its own; before, it took its share like any zone.
    """
    apart = kernel.profile.movable_watermarks_apart
    lowmem = sum(
        z.managed for z in kernel.populated_zones() if not apart or z.zone is not ZoneType.MOVABLE
    )
    pages_min = min_free_kbytes(kernel) // _KB_PER_PAGE
    share = pages_min * zone.managed // lowmem if lowmem else 0
    minimum = share
    if apart and zone.zone is ZoneType.MOVABLE:
        minimum = min(max(zone.managed // 1024, 32), 128)
    gap = max(share // 4, zone.managed * _SCALE_FACTOR // 10000)
    return Watermarks(
        minimum=minimum, low=minimum + gap, high=minimum + 2 * gap, promo=minimum + 3 * gap
    )


def lowmem_reserve(kernel: Kernel, zone: Zone) -> tuple[int, ...]:
    """What a zone keeps from requests that could use higher zones, a number a class.

    Only the higher zones of the same node count.
    """
    ratio = _RESERVE_RATIO[zone.zone]
    reserve, above = [], 0
    for wanted in CLASSES:
        if wanted.order > zone.zone.order and wanted is not ZoneType.DEVICE:
            above += kernel.zone(zone.node, wanted).managed
        kept = wanted.order > zone.zone.order and ratio and zone.managed
        reserve.append(above // ratio if kept else 0)
    return tuple(reserve)
