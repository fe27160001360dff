"""Zones from ``/proc/zoneinfo``."""

import re
from collections.abc import Iterator

from memhp.core.geometry import NodeId, Pfn
from memhp.core.snapshot import ZoneInfo
from memhp.core.words import ZoneType
from memhp.machines.linux.root import Root

_HEADING = re.compile(r"Node ([0-9]{1,9}), zone +(\S+)")
_ROW = re.compile(r" +(spanned|present|managed|start_pfn:) +([0-9]{1,20})(?![0-9])")


def read_zones(root: Root) -> tuple[ZoneInfo, ...]:
    """Every zone that spans a page; none where there is no such file. Raises ``MachineError``."""
    return tuple(_zones(root.text_if_there("proc/zoneinfo") or ""))


def zone_parts(text: str) -> Iterator[tuple[NodeId, ZoneType, str]]:
    """The part of ``/proc/zoneinfo`` about each zone of each node.

    Source: ``zoneinfo_show_print()``.
    """
    for part in re.split(r"^(?=Node )", text, flags=re.MULTILINE):
        heading = _HEADING.match(part)
        if heading is not None and heading[2] in set(ZoneType):
            yield NodeId(int(heading[1])), ZoneType(heading[2]), part


def _zones(text: str) -> Iterator[ZoneInfo]:
    """``start_pfn`` is shown for populated zones only."""
    for node, zone, part in zone_parts(text):
        rows = dict(_ROW.findall(part))
        if int(rows.get("spanned", 0)):
            yield ZoneInfo(
                node=node,
                zone=zone,
                start_pfn=Pfn(int(rows.get("start_pfn:", 0))),
                spanned=int(rows["spanned"]),
                present=int(rows.get("present", 0)),
                managed=int(rows.get("managed", 0)),
            )
