"""What comes next where memory moves from one machine to another.

Until something has been given, failing means that the giver becomes whole again.
"""

from collections.abc import Iterator

from memhp.core.errors import CannotPlan
from memhp.core.geometry import round_down
from memhp.core.plan import Plan, ResizeDevice, Step, plan_over
from memhp.core.request import Move
from memhp.core.snapshot import Device, MemoryBlock, Snapshot, Snapshots
from memhp.core.targets import format_size
from memhp.operations.ahead import Ahead, ahead
from memhp.operations.giver_goal import plan_giver
from memhp.operations.make_steps import resize_step
from memhp.operations.move_account import account_of, came
from memhp.operations.next_resize import MOST_TRIES, goes_on, tries
from memhp.operations.operation import Operation, block_of, key_of_step, refused_in
from memhp.operations.plan_move import (
    Take,
    check_giver,
    check_hosts,
    could_take,
    plan_give,
    plan_take,
)
from memhp.operations.plan_zones import in_zone, zone_steps

_NOTHING = Take(steps=(), size_bytes=0, in_use_bytes=0)


def go_on(operation: Operation, request: Move, snapshots: Snapshots, *, late: bool) -> Ahead | None:
    """Take, give, bring online; give back to the giver what the taker does not take.

    Raises what planners raise, on the first leg alone.
    """
    if not operation.legs:
        return None if late else ahead(_first(operation, request, snapshots))
    if _has_begun_to_give(operation, request):
        return _finish(operation, request, snapshots, late=late)
    tidy = plan_giver(operation, request, snapshots)
    if tidy.steps:
        return Ahead(plan=tidy, to_the_end=True)
    return _take_and_give(operation, request, snapshots, late=late)


def is_complete(operation: Operation, request: Move, snapshots: Snapshots) -> bool:
    """Whether the taker has what was asked for, or enough, online where it was to be."""
    if not _is_of_use(operation, request, snapshots):
        return False
    over = account_of(operation, request, snapshots).over_bytes
    return not plan_giver(operation, request, snapshots, over).steps


def wants_back(operation: Operation, request: Move, snapshots: Snapshots) -> bool:
    """Nothing was given, or all was asked for: then everything is put back."""
    given = account_of(operation, request, snapshots).given_bytes
    return operation.conditions.all_or_nothing or given <= 0


def _first(operation: Operation, request: Move, snapshots: Snapshots) -> Plan:
    giver, taker = snapshots[request.giver], snapshots[request.taker]
    check_hosts(request, giver, taker)
    plan_give(request, taker, request.size_bytes)
    take = plan_take(request, giver, request.size_bytes, frozenset())
    if take is None:
        take = _what_there_is(operation, request, giver)
    check_giver(request, giver, take)
    return _plan(request, snapshots, take, min(request.size_bytes, take.size_bytes))


def _what_there_is(operation: Operation, request: Move, giver: Snapshot) -> Take:
    """All that the giver's devices could give, where that is enough; raises ``CannotPlan``."""
    most = could_take(giver, frozenset())
    enough = operation.conditions.at_least_bytes
    wanted = 0 if enough is None or most < enough else most
    take = plan_take(request, giver, wanted, frozenset()) if wanted else None
    if take is None:
        raise CannotPlan(
            request=str(request),
            problem=f"the devices of '{giver.machine}' could give "
            f"{format_size(most) if most else 'nothing'}",
            advice="ask for less, or for a part with --at-least SIZE",
        )
    return take


def _take_and_give(
    operation: Operation, request: Move, snapshots: Snapshots, *, late: bool
) -> Ahead | None:
    """Take what is missing from other devices and give it; or give what there is, if that will do.

    Where it will not, there is nothing to do on this way.
    """
    taken = account_of(operation, request, snapshots).taken_bytes
    missing = request.size_bytes - taken
    giver = snapshots[request.giver]
    take = _NOTHING if late or missing <= 0 else _more(operation, request, giver, missing)
    total = taken + take.size_bytes
    amount = _giveable(snapshots[request.taker], min(request.size_bytes, total))
    strict = operation.conditions.all_or_nothing
    if amount <= 0 or (strict and total < _enough(operation, request)):
        return None
    try:
        return ahead(_plan(request, snapshots, take, amount), to_the_end=not take.steps)
    except CannotPlan:
        return None


def _more(operation: Operation, request: Move, giver: Snapshot, missing: int) -> Take:
    """What devices that did not refuse yet could add."""
    without = frozenset(_tried_in_vain(operation, giver))
    most = could_take(giver, without)
    found = plan_take(request, giver, min(missing, most), without) if most else None
    return found or _NOTHING


def _finish(
    operation: Operation, request: Move, snapshots: Snapshots, *, late: bool
) -> Ahead | None:
    """See that what was given is of use, that nothing is left half asked for, and give back."""
    taker, stuck = snapshots[request.taker], refused_in(operation.legs)
    steps = tuple(zone_steps(taker, came(operation, taker), request.zone, stuck))
    if not steps and not late:
        steps = tuple(_ask_again(operation, taker))
    if steps:
        return ahead(plan_over(request, snapshots, steps), to_the_end=True)
    account = account_of(operation, request, snapshots)
    strict = operation.conditions.all_or_nothing
    if account.given_bytes <= 0 or (strict and not _is_of_use(operation, request, snapshots)):
        return None
    rest = tuple(_withdraw(operation, taker))
    if rest:
        return ahead(plan_over(request, snapshots, rest), to_the_end=True)
    plan = plan_giver(operation, request, snapshots, account.over_bytes)
    return ahead(plan, to_the_end=True)


def _plan(request: Move, snapshots: Snapshots, take: Take, amount: int) -> Plan:
    """Take and give in one plan: where the first does not go wholly, the second is not begun."""
    give = plan_give(request, snapshots[request.taker], amount)
    return plan_over(request, snapshots, (*take.steps, *give))


def _tried_in_vain(operation: Operation, giver: Snapshot) -> Iterator[str]:
    """Devices of the giver that refused, gave a part, or have a block that refused."""
    owners: dict[int, str | None] = {
        thing.block: thing.device
        for thing in operation.before().get(giver.machine, ())
        if isinstance(thing, MemoryBlock)
    }
    for step in operation.refused_steps():
        if step.machine == giver.machine:
            number = block_of(step)
            owner = key_of_step(step) if number is None else owners.get(number)
            if owner is not None:
                yield owner


def _ask_again(operation: Operation, taker: Snapshot) -> Iterator[Step]:
    """A driver that waited for blocks to come online can plug more by now."""
    for device in _given_to(operation, taker):
        if goes_on(operation, taker.machine, device):
            yield resize_step(taker, device, device.requested_bytes or 0)


def _withdraw(operation: Operation, taker: Snapshot) -> Iterator[Step]:
    """What the taker's guest does not plug is asked for no longer."""
    for device in _given_to(operation, taker):
        half = device.plugged_bytes != device.requested_bytes
        if half and tries(operation, taker.machine, device.name) <= MOST_TRIES:
            yield resize_step(taker, device, device.plugged_bytes or 0)


def _given_to(operation: Operation, taker: Snapshot) -> list[Device]:
    """The taker's virtio-mem devices that were asked for more."""
    asked = {
        step.action.device
        for leg in operation.forward()
        for step, _ in leg.results()
        if step.machine == taker.machine and isinstance(step.action, ResizeDevice)
    }
    return [d for d in taker.devices if d.name in asked and d.plugged_bytes is not None]


def _has_begun_to_give(operation: Operation, request: Move) -> bool:
    return any(
        step.machine == request.taker for leg in operation.forward() for step, _ in leg.results()
    )


def _is_of_use(operation: Operation, request: Move, snapshots: Snapshots) -> bool:
    """Whether enough was given, and all that came is online where it was to be."""
    given = account_of(operation, request, snapshots).given_bytes
    blocks = came(operation, snapshots[request.taker])
    usable = all(in_zone(block, request.zone) for block in blocks)
    return usable and given >= _enough(operation, request)


def _enough(operation: Operation, request: Move) -> int:
    least = operation.conditions.at_least_bytes
    return request.size_bytes if least is None else min(least, request.size_bytes)


def _giveable(taker: Snapshot, size_bytes: int) -> int:
    """An amount in the unit in which the taker's devices take it."""
    units = [d.unit_bytes for d in taker.devices if d.unit_bytes] or [taker.block_size_bytes]
    return round_down(size_bytes, min(units))
