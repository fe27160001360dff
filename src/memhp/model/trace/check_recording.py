"""Whether a recording is in the format, before anything is done with it.

A *form* is JSON's own: an object of forms, a list with the form of each item
(or of as many as it names), a type, a range for whole numbers, ``None`` for
whatever it may be.
"""

from collections.abc import Mapping
from typing import Any, Final

from memhp.core.errors import RecordingError

Form = Any
_ADDRESS: Final = range(1 << 52)
"""Physical addresses of x86-64 have 52 bits at most."""
_NODE: Final = range(1 << 10)
"""``MAX_NUMNODES`` of x86-64."""
_BLOCK: Final = range(1 << 25)
_MOST_BLOCKS: Final = 1 << 20
_EXTENT: Final = (_ADDRESS, _ADDRESS)
_SHARED: Final = {"start": _ADDRESS, "size": _ADDRESS, "node": _NODE}
_DIMM: Final = {"device": str} | _SHARED
_MACHINE: Final[Form] = {
    "command_line": str,
    "memory_map": [(_ADDRESS, _ADDRESS, str)],
    "srat": [_SHARED | {"hotpluggable": None}],
    "cpu_nodes": [_NODE],
    "ramdisk": [_EXTENT],
    "kernel_image": [_EXTENT],
    "boot_devices": [_DIMM],
    "virtio_mem": [_DIMM | {"sub_block": _ADDRESS}],
    "config": {"crash_hotplug": None, "memory_failure": None, "auto_online": str},
}
_STEPS: Final[Mapping[str, Form]] = {
    "add": _DIMM,
    "remove": {"device": str},
    "write": {"path": str, "value": str},
    "read": {"path": str},
    "resize": {"device": str, "size": _ADDRESS},
    "sh": {"command": str},
}
_OBSERVATION: Final[Form] = {
    "blocks": [{"first": _BLOCK, "last": _BLOCK}],
    "zones": [{"node": _NODE, "zone": str}],
    "iomem_ram": None,
    "nodes": None,
    "auto_online_blocks": None,
}
_ONLINE: Final = ("online_blocks", "online", "blocks")
"""Where a stripped recording may have the blocks that were online after a refused removal."""
_WORDS: Final[Mapping[type, str]] = {str: "text", list: "a list", dict: "an object"}


def check_inputs(document: Mapping[str, Any], file: str) -> None:
    """Check what a prediction is made from; raises ``RecordingError``."""
    checked = _Checked(file)
    checked.form(document, {"kernel": str, "machine": _MACHINE}, "")
    steps = document.get("steps", [])
    checked.form(steps, [None], "steps")
    override = document["machine"].get("acpi_override")
    if override is not None:
        checked.form(override, _EXTENT, "machine.acpi_override")
    for index, step in enumerate(steps):
        checked.step(step, f"steps[{index}]")


def check_compared(document: Mapping[str, Any], file: str) -> None:
    """Check what a prediction is held against, beside its inputs; raises ``RecordingError``."""
    checked = _Checked(file)
    checked.form(document, {"boot": _OBSERVATION}, "")
    for index, step in enumerate(document.get("steps", [])):
        if "observe" in step:
            checked.form(step["observe"], _OBSERVATION, f"steps[{index}].observe")


class _Checked:
    """Judges values by their forms, and names the place of the first that does not fit."""

    def __init__(self, file: str) -> None:
        self._file = file

    def step(self, step: Any, place: str) -> None:
        """One step: its arguments, and what a refused removal left online."""
        self.form(step, {"op": str}, place)
        form = _STEPS.get(step["op"])
        if form is None:
            raise self._wrong(f"{place}.op", f"must be one of {', '.join(_STEPS)}")
        self.form(step, form, place)
        for name in ("plugged", "kept"):
            if step["op"] == "resize" and name in step:
                self.form(step[name], _ADDRESS, f"{place}.{name}")
        if step["op"] == "resize" or step.get("removed") is False:
            self._online(step, place)

    def form(self, value: Any, form: Form, place: str) -> None:
        """Check a value and all that is in it."""
        match form:
            case dict():
                self._object(value, form, place)
            case [each]:
                self._kind(value, list, place)
                for index, item in enumerate(value):
                    self.form(item, each, f"{place}[{index}]")
            case tuple():
                self._kind(value, list, place)
                if len(value) != len(form):
                    raise self._wrong(place, f"must have {len(form)} items")
                for index, each in enumerate(form):
                    self.form(value[index], each, f"{place}[{index}]")
            case range():
                if type(value) is not int or value not in form:
                    raise self._wrong(place, f"must be a whole number below {form.stop}")
            case type():
                self._kind(value, form, place)

    def _object(self, value: Any, form: Mapping[str, Form], place: str) -> None:
        self._kind(value, dict, place)
        for name, inner in form.items():
            where = f"{place}.{name}" if place else name
            if name not in value:
                raise self._wrong(where, "is missing")
            self.form(value[name], inner, where)

    def _kind(self, value: Any, kind: type, place: str) -> None:
        if type(value) is not kind:
            raise self._wrong(place, f"must be {_WORDS[kind]}")

    def _online(self, step: Mapping[str, Any], place: str) -> None:
        """The blocks that stayed online: an observation, or numbers, pairs and runs of them."""
        if "observe" in step:
            self.form(step["observe"], _OBSERVATION, f"{place}.observe")
            runs = step["observe"]["blocks"]
        else:
            name = next((name for name in _ONLINE if name in step), None)
            runs = [] if name is None else step[name]
            self.form(runs, [None], f"{place}.{name}")
        count = 0
        for run in runs:
            ends = [run["first"], run["last"]] if _is_run(run) else run
            pair = ends if isinstance(ends, list) else [ends, ends]
            self.form(pair, (_BLOCK, _BLOCK), f"{place}, a run of blocks,")
            count += max(0, pair[1] - pair[0] + 1)
        if count > _MOST_BLOCKS:
            raise self._wrong(place, "names more blocks than any machine has")

    def _wrong(self, place: str, problem: str) -> RecordingError:
        return RecordingError(file=self._file, field=place or "recording", problem=problem)


def _is_run(item: Any) -> bool:
    return isinstance(item, dict) and {"first", "last"} <= item.keys()
