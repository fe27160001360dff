"""What follows once the first plan of an operation is done, in words.

What it will be exactly depends on how that goes: which blocks come with a
device, and where policy puts them.
"""

from memhp.core.request import Add, Move, Replace, Request, Resize
from memhp.core.snapshot import Snapshot, Snapshots
from memhp.core.words import OnlineType
from memhp.operations.move_account import left_over
from memhp.operations.operation import the_only
from memhp.operations.plan_move import plan_take
from memhp.operations.plan_physical import device_to_replace


def outlook(request: Request, snapshots: Snapshots) -> tuple[str, ...]:
    """Tell what comes after the first plan, a line each; nothing where that is all."""
    match request:
        case Replace(add_first=True):
            old = device_to_replace(request, the_only(snapshots)).name
            return (
                f"bring its blocks online in the zones that those of {old} have",
                f"take the blocks of {old} offline, and remove {old}",
            )
        case Replace(by_hand=True):
            old = device_to_replace(request, the_only(snapshots)).name
            return (
                f"wait until a person has put the new device in the place of {old}",
                "bring its blocks online in the zones that they have now",
            )
        case Replace():
            old = device_to_replace(request, the_only(snapshots)).name
            return f"add {old}", "bring its blocks online in the zones that they have now"
        case Add(zone=zone) | Resize(zone=zone) if zone is not None:
            return (_online(zone, "the blocks that come"),)
        case Move(taker=taker, zone=zone):
            online = _online(zone, f"the blocks that come to {taker}")
            over = _left_over(request, snapshots[request.giver])
            return (online, over) if over else (online,)
    return ()


def _left_over(request: Move, giver: Snapshot) -> str:
    """What is taken too much, for a DIMM goes whole."""
    take = plan_take(request, giver, request.size_bytes, frozenset())
    return "" if take is None else left_over(max(0, take.size_bytes - request.size_bytes), giver)


def _online(zone: OnlineType, what: str) -> str:
    return f"bring {what} online, with '{zone}'"
