"""Shrinking a scenario on which model and kernel differ to the shortest that still shows it.

Delta debugging (Zeller and Hildebrandt, 2002): ever smaller pieces are left out
for as long as what remains differs. Each trial boots a kernel, so none that was
made is made again.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TypeVar

from memhp.core.guest_shape import GuestShape
from memhp.model.trace.scenario import Scenario, scenario_json

T = TypeVar("T")
Trial = Callable[[Scenario], Scenario | None]
"""Runs a scenario: its beginning up to the first difference, ``None`` where there is none."""


def shrink(scenario: Scenario, trial: Trial) -> Scenario:
    """Leave out steps, then parts of the guest, until nothing more can be left out.

    ``scenario`` is one that differs. Whatever ``trial`` raises goes on.
    """
    once = _once(trial)
    while True:
        shorter = _plainest_guest(_least_steps(scenario, once), once)
        if shorter == scenario:
            return scenario
        scenario = shorter


def _once(trial: Trial) -> Trial:
    """The same trial, which knows what it was asked before."""
    asked: set[str] = set()

    def ask(scenario: Scenario) -> Scenario | None:
        key = json.dumps(scenario_json(scenario))
        if key in asked:
            return None
        asked.add(key)
        return trial(scenario)

    return ask


def _least_steps(scenario: Scenario, trial: Trial) -> Scenario:
    """Try without one half, one quarter, …, one step; what came last goes first."""
    size = (len(scenario.steps) + 1) // 2
    while size:
        end = len(scenario.steps)
        while end > 0:
            start = max(0, end - size)
            kept = scenario.steps[:start] + scenario.steps[end:]
            found = trial(replace(scenario, steps=kept))
            scenario = found or scenario
            end = min(start, len(scenario.steps))
        size //= 2
    return scenario


def _plainest_guest(scenario: Scenario, trial: Trial) -> Scenario:
    """Try each plainer guest, again from the start whenever one differs as well."""
    found: Scenario | None = scenario
    while found is not None:
        scenario = found
        candidates = (replace(scenario, guest=guest) for guest in _plainer(scenario.guest))
        found = next((shown for one in candidates if (shown := trial(one))), None)
    return scenario


def _plainer(guest: GuestShape) -> Iterator[GuestShape]:
    """The guest without one word of its command line, one device, or one flag."""
    for words in _without_one(tuple(guest.command_line.split())):
        yield replace(guest, command_line=" ".join(words))
    for dimms in _without_one(guest.dimms):
        yield replace(guest, dimms=dimms)
    for devices in _without_one(guest.virtio_mem):
        yield replace(guest, virtio_mem=devices)
    for nodes in _without_one(guest.hotpluggable_nodes):
        yield replace(guest, hotpluggable_nodes=nodes)


def _without_one(items: tuple[T, ...]) -> Iterator[tuple[T, ...]]:
    for index in range(len(items)):
        yield items[:index] + items[index + 1 :]
