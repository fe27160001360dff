"""The pages of the blocks that a plan takes offline, counted once: a poisoned one is a risk."""

from collections.abc import Mapping
from dataclasses import replace

from memhp.core.geometry import BlockId
from memhp.core.machine import Machine
from memhp.core.plan import OfflineBlock, Plan
from memhp.core.request import Evacuate, Offline
from memhp.core.snapshot import Snapshots
from memhp.core.surroundings import Risk
from memhp.core.words import Ability

MOST_COUNTED = 4096
"""Blocks that are looked into beforehand; counting more would take longer than it is worth."""


def with_planned_counted(
    plan: Plan,
    snapshots: Snapshots,
    machines: Mapping[str, Machine],
    accepted: tuple[Risk, ...] = (),
) -> Snapshots:
    """The same snapshots with the census of what goes offline and is to come back some day.

    Memory that is taken out comes back as other memory, if ever: it is not
    counted for that, nor is what was accepted, or counted before. A machine
    that cannot count stays without.
    """
    if not isinstance(plan.request, Offline | Evacuate) or Risk.POISONED in accepted:
        return snapshots
    found = dict(snapshots)
    for name, snapshot in snapshots.items():
        numbers = blocks_to_count(plan, name)
        if numbers and not snapshot.census and Ability.CENSUS in machines[name].can:
            found[name] = replace(snapshot, census=machines[name].census(numbers))
    return found


def blocks_to_count(plan: Plan, machine: str) -> list[BlockId]:
    """The blocks of a machine that a plan takes offline, at the most ``MOST_COUNTED``."""
    return [
        BlockId(step.action.block)
        for step in plan.steps
        if step.machine == machine and isinstance(step.action, OfflineBlock)
    ][:MOST_COUNTED]
