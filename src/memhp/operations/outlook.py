"""What follows once the first plan of an operation is done, in words.

What it will be exactly depends on how that goes: which blocks come with a
device, and where policy puts them.
"""

from memhp.core.request import Add, Move, Replace, Request, Resize
from memhp.core.snapshot import Snapshots
from memhp.core.words import OnlineType
from memhp.operations.operation import the_only
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
        case Replace():
            old = device_to_replace(request, the_only(snapshots)).name
            return f"add {old}", "bring its blocks online in the zones that they have now"
        case Add(zone=zone) | Resize(zone=zone) if zone is not None:
            return (_online(zone, "the blocks that come"),)
        case Move(taker=taker, zone=zone):
            return (_online(zone, f"the blocks that come to {taker}"),)
    return ()


def _online(zone: OnlineType, what: str) -> str:
    return f"bring {what} online, with '{zone}'"
