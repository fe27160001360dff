"""Whether machines can do what a plan asks of them, before anything of it is done."""

from collections.abc import Mapping

from memhp.core.errors import NotSupported
from memhp.core.machine import Machine, Particular
from memhp.core.plan import (
    Action,
    AddDevice,
    AwaitDevice,
    CompactNode,
    DropCaches,
    HoldHugePages,
    OfflineBlock,
    OnlineBlock,
    Plan,
    RemoveDevice,
    ResizeDevice,
)
from memhp.core.words import Ability

_NEEDED: Mapping[type, Ability] = {
    OnlineBlock: Ability.ONLINE,
    OfflineBlock: Ability.OFFLINE,
    AddDevice: Ability.ADD_DEVICE,
    RemoveDevice: Ability.REMOVE_DEVICE,
    ResizeDevice: Ability.RESIZE_DEVICE,
    CompactNode: Ability.COMPACT,
    DropCaches: Ability.DROP_CACHES,
    HoldHugePages: Ability.HUGEPAGES,
}


def ability_for(action: Action) -> Ability:
    """What a machine must be able to do for this."""
    return _NEEDED[type(action)]


def check_able(plan: Plan, machines: Mapping[str, Machine], *, rights: bool = True) -> None:
    """Raise ``NotSupported`` for the first step that its machine cannot do.

    A machine that can do nothing at all says so itself. Waiting needs no machine.
    Without ``rights`` it does not matter who asks.
    """
    for step in plan.steps:
        if isinstance(step.action, AwaitDevice):
            continue
        machine = machines[step.machine]
        can = machine.can
        why = _why_not(machine, step.action, rights=rights)
        if why is not None:
            raise NotSupported(machine=step.machine, operation=str(step), advice=why)
        if can and ability_for(step.action) not in can:
            raise NotSupported(
                machine=step.machine, operation=str(step), advice=_advice(step.action)
            )


def _why_not(machine: Machine, action: Action, *, rights: bool) -> str | None:
    """What a machine says against this, if anything."""
    if not isinstance(machine, Particular):
        return None
    return machine.why_not(action) or (machine.lacks_rights(action) if rights else None)


def _advice(action: Action) -> str:
    match action:
        case OnlineBlock() | OfflineBlock():
            return "it can only be looked at"
        case DropCaches() | CompactNode() | HoldHugePages():
            what = ability_for(action)
            return f"only a Linux machine that runs can; leave '{what}' out of --prepare"
    return "the physical phase is done from outside, by the host or by hand"
