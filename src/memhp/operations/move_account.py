"""How a move stands: what the giver has less, what the taker has more, and what came there.

Read from the machines and what they were before, never summed up from answers:
so it is the same after a kill.
"""

from dataclasses import dataclass

from memhp.core.request import Move
from memhp.core.snapshot import Device, MemoryBlock, Snapshot, Snapshots
from memhp.core.targets import format_size
from memhp.operations.operation import Operation, Thing, things_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What the giver has less by now, and the taker more."""

    taken_bytes: int
    given_bytes: int

    @property
    def over_bytes(self) -> int:
        """What was taken and not given."""
        return max(0, self.taken_bytes - self.given_bytes)


def account_of(operation: Operation, request: Move, snapshots: Snapshots) -> Account:
    """Hold the devices that were touched against those that are there now."""

    def less(machine: str) -> int:
        now = things_of(snapshots[machine])
        touched = devices_before(operation, machine)
        return sum(has_bytes(was) - has_bytes(now.get(was.name)) for was in touched)

    return Account(taken_bytes=less(request.giver), given_bytes=-less(request.taker))


def account_words(operation: Operation, request: Move, snapshots: Snapshots) -> str:
    """The account as a person reads it."""
    account = account_of(operation, request, snapshots)
    text = (
        f"{request.giver} has {_change(-account.taken_bytes)}, "
        f"{request.taker} has {_change(account.given_bytes)}"
    )
    over = left_over(account.over_bytes, snapshots[request.giver])
    return f"{text}; {over}" if over else text


def left_over(over_bytes: int, giver: Snapshot) -> str:
    """Where memory is that was taken and not given; empty where there is none."""
    if not over_bytes:
        return ""
    where = "is left over" if giver.host is None else "stays with the host"
    return f"{format_size(over_bytes)} {where}"


def came(operation: Operation, machine: Snapshot) -> tuple[MemoryBlock, ...]:
    """The blocks of touched devices that were not there before."""
    before = operation.before().get(machine.machine, ())
    known = {thing.block for thing in before if isinstance(thing, MemoryBlock)}
    touched = {thing.name for thing in before if isinstance(thing, Device)}
    return tuple(b for b in machine.blocks if b.device in touched and b.block not in known)


def devices_before(operation: Operation, machine: str) -> list[Device]:
    """The devices of a machine that were touched, as they were."""
    things = operation.before().get(machine, ())
    return [thing for thing in things if isinstance(thing, Device)]


def has_bytes(thing: Thing | None) -> int:
    """What a device gives its machine: plugged, or all of a DIMM that is in."""
    if not isinstance(thing, Device) or not thing.present:
        return 0
    return thing.size_bytes if thing.plugged_bytes is None else thing.plugged_bytes


def _change(by_bytes: int) -> str:
    if by_bytes == 0:
        return "as much as before"
    return f"{format_size(abs(by_bytes))} {'more' if by_bytes > 0 else 'less'}"
