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


def _zones(text: str) -> Iterator[ZoneInfo]:
    """Source: ``zoneinfo_show_print()``; ``start_pfn`` is shown for populated zones only."""
    for part in re.split(r"^(?=Node )", text, flags=re.MULTILINE):
        heading = _HEADING.match(part)
        if heading is None or heading[2] not in set(ZoneType):
            continue
        rows = dict(_ROW.findall(part))
        if int(rows.get("spanned", 0)):
            yield ZoneInfo(
                node=NodeId(int(heading[1])),
                zone=ZoneType(heading[2]),
                start_pfn=Pfn(int(rows.get("start_pfn:", 0))),
                spanned=int(rows["spanned"]),
                present=int(rows.get("present", 0)),
                managed=int(rows.get("managed", 0)),
            )
