"""Scenarios: what is to be done to which guest, before anybody knows what comes of it.

A scenario is JSON::

    {"format": 1, "name": "gap", "about": "…",
     "guest": {"nodes": [1073741824, 0], "command_line": "memhp_default_state=offline"},
     "steps": [{"op": "add", "device": "d0", "start": 4429185024, "size": 134217728, "node": 1},
               {"op": "write", "path": "memory33/state", "value": "online_movable"}]}

Its steps are those of a recording without their results, so that a recording
made by memhp, which has its ``guest`` too, is a scenario itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from memhp.core.errors import FormatError, RecordingError
from memhp.core.guest_shape import GuestShape
from memhp.core.values_json import from_json, to_json

Json = dict[str, Any]
FORMAT: Final = 1
_ARGUMENTS: Final[Mapping[str, Mapping[str, type]]] = {
    "add": {"device": str, "start": int, "size": int, "node": int},
    "remove": {"device": str},
    "write": {"path": str, "value": str},
    "read": {"path": str},
    "resize": {"device": str, "size": int},
    "sh": {"command": str},
}
_OPTIONAL: Final = frozenset({"start"})
"""Without an address, QEMU chooses one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A guest and the steps that are to be done to it, each as a recording has it."""

    name: str
    about: str
    guest: GuestShape
    steps: tuple[Json, ...]

    def on(self, kernel: str) -> "Scenario":
        """The same scenario for another kernel."""
        return replace(self, guest=replace(self.guest, kernel=kernel))


def parse_scenario(document: Mapping[str, Any], file: str, kernel: str) -> Scenario:
    """Read a scenario, or a recording that memhp made, for a kernel; raises ``RecordingError``."""
    if not isinstance(document.get("guest"), dict):
        raise RecordingError(file=file, field="guest", problem="is missing")
    try:
        guest: GuestShape = from_json(GuestShape, document["guest"] | {"kernel": kernel})
    except FormatError as err:
        raise RecordingError(file=file, field="guest", problem=f"is malformed ({err})") from err
    _check_nodes(guest, file)
    steps = document.get("steps")
    if not isinstance(steps, list):
        raise RecordingError(file=file, field="steps", problem="is no list")
    return Scenario(
        name=str(document.get("name", file)),
        about=str(document.get("about", "")),
        guest=guest,
        steps=tuple(_step(step, index, file) for index, step in enumerate(steps)),
    )


def _check_nodes(guest: GuestShape, file: str) -> None:
    """See that there is memory to boot with; QEMU would make some up."""
    if not guest.nodes or guest.nodes[0] <= 0 or min(guest.nodes) < 0:
        raise RecordingError(
            file=file,
            field="guest.nodes",
            problem="must give node 0 memory to boot with, and no node less than 0",
        )


def scenario_json(scenario: Scenario) -> Json:
    """Write a scenario as JSON has it; the kernel is chosen when it is recorded."""
    return {
        "format": FORMAT,
        "name": scenario.name,
        "about": scenario.about,
        "guest": guest_json(scenario.guest),
        "steps": list(scenario.steps),
    }


def guest_json(guest: GuestShape) -> Json:
    """A guest as a scenario has it."""
    shown: Json = to_json(guest)
    del shown["kernel"]
    return shown


def _step(step: Any, index: int, file: str) -> Json:
    """The arguments of a step, and nothing else of it."""
    field = f"steps[{index}]"
    arguments = _ARGUMENTS.get(str(step.get("op"))) if isinstance(step, dict) else None
    if arguments is None:
        known = ", ".join(_ARGUMENTS)
        raise RecordingError(file=file, field=f"{field}.op", problem=f"must be one of {known}")
    kept = {"op": step["op"]}
    for name, kind in arguments.items():
        if name not in step and name in _OPTIONAL:
            continue
        value = step.get(name)
        # QEMU's monitor parts from whoever names a number below 0.
        if type(value) is not kind or (isinstance(value, int) and value < 0):
            raise RecordingError(
                file=file, field=f"{field}.{name}", problem=f"must be {_NAMES[kind]}"
            )
        kept[name] = step[name]
    return kept


_NAMES: Final = {str: "text", int: "a whole number, 0 or more"}
