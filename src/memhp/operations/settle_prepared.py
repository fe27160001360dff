"""What was prepared is put back, as soon as no more blocks go.

The kernel itself moves the numbers of the pools while it moves their pages: a
page that goes to another node is one less here and one more there. So what is
put back is what all pools of a size together hold more, or less, than before:
never more than a preparation has changed, and never a page that is in use.
"""

from collections.abc import Iterator

from memhp.core.outcome import Done, Partly
from memhp.core.plan import HoldHugePages, OfflineBlock, Plan, RemoveDevice, Step, plan_over
from memhp.core.request import Undo
from memhp.core.snapshot import Snapshot, Snapshots
from memhp.core.surroundings import HugePool
from memhp.operations.make_steps import hold_step
from memhp.operations.operation import Key, Leg, Operation, key_of_step, things_of
from memhp.operations.plan_prepare import can_spare


def plan_settle(operation: Operation, snapshots: Snapshots) -> Plan:
    """Plan it; without steps where nothing was prepared, or all is put back that can be."""
    steps = () if isinstance(operation.request, Undo) else tuple(_steps(operation, snapshots))
    return plan_over(operation.request, snapshots, steps)


def takes_out(plan: Plan) -> bool:
    """Whether blocks go in a plan, for which something may be prepared."""
    return any(isinstance(step.action, OfflineBlock | RemoveDevice) for step in plan.steps)


def is_unsettled(operation: Operation) -> bool:
    """Whether something that was prepared could not be put back."""
    return any(leg.settles and not leg.went_well for leg in operation.legs)


def _steps(operation: Operation, snapshots: Snapshots) -> Iterator[Step]:
    asked = {(step.machine, key_of_step(step)) for step in _prepared(operation)}
    tried = {key for leg in operation.legs if leg.settles for key in _keys(leg)}
    for name, things in operation.before().items():
        if name not in snapshots:
            continue
        was = [thing for thing in things if isinstance(thing, HugePool)]
        for size in sorted({pool.size_bytes for pool in was}):
            mine = [
                pool
                for pool in was
                if pool.size_bytes == size and (name, pool.name) in asked - tried
            ]
            same = [pool for pool in was if pool.size_bytes == size]
            yield from _of_one_size(same, mine, snapshots[name])


def _keys(leg: Leg) -> Iterator[Key]:
    """What a leg is about; each pool is settled once, though somebody change it again."""
    return ((step.machine, key_of_step(step)) for step, _ in leg.results())


def _prepared(operation: Operation) -> Iterator[Step]:
    """The steps that have changed a pool, wholly or in part."""
    for leg in operation.forward():
        for step, outcome in leg.results():
            if isinstance(step.action, HoldHugePages) and isinstance(outcome, Done | Partly):
                yield step


def _of_one_size(was: list[HugePool], mine: list[HugePool], snapshot: Snapshot) -> Iterator[Step]:
    """The steps for pools that were changed (``mine``), among all of their size."""
    things = things_of(snapshot)
    now = {p.name: found for p in was if isinstance(found := things.get(p.name), HugePool)}
    over = sum(pool.held for pool in now.values()) - sum(pool.held for pool in was)
    for pool in mine:
        here = now.get(pool.name)
        if here is None:
            continue
        changed = here.held - pool.held
        if over > 0 and changed > 0:
            back = -min(over, changed, can_spare(here, tuple(now.values())))
        else:
            back = min(-over, -changed) if over < 0 and changed < 0 else 0
        if back:
            yield hold_step(snapshot.machine, here, here.held + back)
            over += back
