"""How many pages of a zone show no flags and are nobody's: free on per-CPU lists, and the like.

A page is on the list of the zone that it lies in, so what a zone's lists hold is
the most that can be free among its pages without flags.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from memhp.core.geometry import NodeId
from memhp.core.words import ZoneType
from memhp.machines.linux.root import Root
from memhp.machines.linux.zones import zone_parts

ZoneName = tuple[NodeId, ZoneType]
_ON_LISTS: Final = re.compile(r"^ +count: +([0-9]{1,18})$", re.MULTILINE)
_ROW: Final = re.compile(
    r"^ +(present|managed|nr_zspages|nr_unaccepted) +([0-9]{1,18})$", re.MULTILINE
)
_MOST_RESERVED_SHARE: Final = 8
"""What was reserved at boot, and shows it, is a smaller part of a zone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneLists:
    """Counts of pages: free on per-CPU lists, and other ones without flags that are no kernel's.

    ``others`` are those of zsmalloc, which move, and memory that the kernel has
    not yet begun to use.
    """

    cached: int = 0
    others: int = 0

    @property
    def most(self) -> int:
        """How many of the zone's pages without flags need not be the kernel's, at the most."""
        return self.cached + self.others


def read_zone_lists(root: Root) -> Mapping[ZoneName, ZoneLists]:
    """Those of every zone whose lists are shown. Raises ``MachineError``.

    Source: ``zoneinfo_show_print()``.
    """
    parts = zone_parts(root.text_if_there("proc/zoneinfo") or "")
    return {(node, zone): _lists_of(part) for node, zone, part in parts if _ON_LISTS.search(part)}


def _lists_of(part: str) -> ZoneLists:
    rows = {name: int(value) for name, value in _ROW.findall(part)}
    present = rows.get("present", 0)
    late = present - rows.get("managed", 0)
    others = rows.get("nr_zspages", 0) + rows.get("nr_unaccepted", 0)
    if late > present // _MOST_RESERVED_SHARE:
        others += late
    return ZoneLists(cached=sum(map(int, _ON_LISTS.findall(part))), others=others)


def most_of_both(
    before: Mapping[ZoneName, ZoneLists], after: Mapping[ZoneName, ZoneLists]
) -> Mapping[ZoneName, int]:
    """The larger of two readings, for what was seen between them."""
    return {zone: max(lists.most, after.get(zone, lists).most) for zone, lists in before.items()}
