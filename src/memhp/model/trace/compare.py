"""Holding a prediction against what was recorded."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from memhp.model.trace.check_recording import check_compared
from memhp.model.trace.predict import Prediction

_MACHINE = ("block_size", "parameters", "memory_files", "block_files")
_RESULTS = {
    "add": ("ost",),
    "remove": ("removed", "ost"),
    "write": ("errno",),
    "read": ("ok", "text"),
    "resize": ("plugged",),
    "sh": ("text", "rc"),
}
_OBSERVED = ("blocks", "iomem_ram", "nodes", "auto_online_blocks")
Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing that the model says otherwise. ``step`` is ``None`` for the boot."""

    step: int | None
    what: str
    recorded: Any
    modelled: Any

    def __str__(self) -> str:
        place = "boot" if self.step is None else f"step {self.step}"
        return f"{place}, {self.what}: recorded {self.recorded!r}, modelled {self.modelled!r}"


def compare(recorded: Json, prediction: Prediction) -> list[Difference]:
    """List every difference in what is compared, in order; raises ``RecordingError``.

    The prediction has to be that of the same recording.
    """
    check_compared(recorded, str(recorded.get("name", "recording")))
    return list(_differences(recorded, prediction.document, prediction.boot_memory_zones))


def _differences(
    recorded: Json, predicted: Json, early: frozenset[tuple[int, str]]
) -> Iterator[Difference]:
    for key in _MACHINE:
        if key in recorded["machine"]:
            yield from _of(
                None, f"machine.{key}", recorded["machine"][key], predicted["machine"][key]
            )
    yield from _observation(None, recorded["boot"], predicted["boot"], early)
    pairs = zip(recorded.get("steps", []), predicted["steps"], strict=True)
    for index, (was, said) in enumerate(pairs):
        yield from _results(index, was, said)
        if "uevents" in was:
            yield from _uevents(index, was["uevents"], said["uevents"])
        if "observe" in was:
            yield from _observation(index, was["observe"], said["observe"], early)


def _results(index: int, was: Json, said: Json) -> Iterator[Difference]:
    for key in _RESULTS[was["op"]]:
        if key == "text" and was["op"] == "read" and not was.get("ok"):
            continue
        if key in said and key in was:
            yield from _of(index, key, was[key], said[key])


def _uevents(index: int, was: list[list[str]], said: list[list[str]]) -> Iterator[Difference]:
    """Which came, and in which order: the same ones in another order differ."""
    if was != said:
        yield Difference(step=index, what="uevents", recorded=was, modelled=said)


def _observation(
    index: int | None, was: Json, said: Json, early: frozenset[tuple[int, str]]
) -> Iterator[Difference]:
    for key in _OBSERVED:
        yield from _of(index, key, was[key], said[key])
    recorded, modelled = _by_zone(was["zones"]), _by_zone(said["zones"])
    for zone in sorted(recorded.keys() | modelled.keys()):
        one, other = dict(recorded.get(zone, {})), dict(modelled.get(zone, {}))
        if zone in early:
            one.pop("managed", None)
            other.pop("managed", None)
        yield from _of(index, f"zone {zone[1]} of node {zone[0]}", one, other)


def _by_zone(zones: list[Json]) -> dict[tuple[int, str], Json]:
    return {(zone["node"], zone["zone"]): zone for zone in zones}


def _of(index: int | None, what: str, recorded: Any, modelled: Any) -> Iterator[Difference]:
    if recorded == modelled:
        return
    if isinstance(recorded, list) and isinstance(modelled, list):
        only = [item for item in recorded if item not in modelled]
        extra = [item for item in modelled if item not in recorded]
        yield Difference(step=index, what=what, recorded=only, modelled=extra)
        return
    if isinstance(recorded, dict) and isinstance(modelled, dict):
        keys = sorted(
            k for k in recorded.keys() | modelled.keys() if recorded.get(k) != modelled.get(k)
        )
        for key in keys:
            yield Difference(
                step=index,
                what=f"{what}, {key}",
                recorded=recorded.get(key),
                modelled=modelled.get(key),
            )
        return
    yield Difference(step=index, what=what, recorded=recorded, modelled=modelled)
