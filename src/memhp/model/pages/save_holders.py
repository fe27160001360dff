"""Holdings as columns of plain values, and back; their frames are told by the sections."""

from typing import Any

import numpy as np

from memhp.model.pages.holders import Holders
from memhp.model.pages.holding import Holding
from memhp.model.pages.words import KIND_NUMBER, KINDS


def encode_holders(holders: Holders) -> dict[str, Any]:
    """Write every holding, in the order of their numbers."""
    each = [holders.holdings[number] for number in sorted(holders.holdings)]
    owners = {name: place for place, name in enumerate(sorted({h.owner for h in each}))}
    return {
        "next": [holders.next_number, holders.room.next_slot, holders.room.dead_slots],
        "regions": [[units, firsts] for units, firsts in holders.room.regions()],
        "owners": list(owners),
        "number": [h.number for h in each],
        "kind": [KIND_NUMBER[h.kind] for h in each],
        "owner": [owners[h.owner] for h in each],
        "order": [h.order for h in each],
        "first": [h.first for h in each],
        "count": [h.count for h in each],
        "mapped": [int(holders.mapcount_of[h.number]) for h in each],
        "pinned": [h.number for h in each if h.pinned],
        "mlocked": [h.number for h in each if h.mlocked],
        "origin": [[h.number, *h.origin] for h in each if h.origin],
        "shared": [[h.number, *h.shared_with] for h in each if h.shared_with],
    }


def decode_holders(holders: Holders, saved: dict[str, Any]) -> None:
    """Read the holdings back into empty holders; none has a frame yet."""
    holders.next_number, next_slot, dead_slots = saved["next"]
    holders.room.restore(next_slot, dead_slots, saved["regions"])
    columns = ("number", "kind", "owner", "order", "first", "count", "mapped")
    rows = zip(*(saved[name] for name in columns), strict=True)
    for number, kind, owner, order, first, count, mapped in rows:
        holding = Holding(
            number=number,
            kind=KINDS[kind],
            owner=saved["owners"][owner],
            order=order,
            first=first,
            count=count,
        )
        holders.take_over(holding)
        holders.mapcount_of[number] = np.uint32(mapped)
    for number in saved["pinned"]:
        holders.pin(holders.holdings[number])
    for number in saved["mlocked"]:
        holders.mlock(holders.holdings[number])
    for number, from_number, page in saved["origin"]:
        holders.holdings[number].origin = (from_number, page)
    for number, *names in saved["shared"]:
        holders.holdings[number].shared_with = tuple(names)
