"""A recording's inputs: the machine, the steps, and the hints.

What a recording holds beside these is compared and never read here, so that
no answer can leak into a prediction. Hints tell of pages that a kernel zone
happened to hold: an ``EBUSY`` from an offline; an errno from poisoning a page;
the blocks that stayed online after a refused removal, or after a virtio-mem
device could not give back all that it was asked for, with how much it kept.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from memhp.core.command_line import CommandLine, parse_command_line
from memhp.core.errors import RecordingError
from memhp.core.geometry import NodeId
from memhp.core.ranges import PhysRange
from memhp.core.values_json import parse_json
from memhp.core.words import OnlineType
from memhp.model.firmware import Affinity, Dimm, Firmware, MapEntry, VirtioMem
from memhp.model.profile import PROFILES, Profile, profile_of
from memhp.model.trace.check_recording import check_inputs

Json = dict[str, Any]
FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Add:
    """A DIMM is hot-added."""

    device: str
    start: int
    size_bytes: int
    node: NodeId


@dataclass(frozen=True, slots=True, kw_only=True)
class Remove:
    """An eject is requested; ``refused_with`` are all online blocks after a refusal."""

    device: str
    refused_with: frozenset[int] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """A file is written; ``refused`` is the errno where it may tell of what a page holds."""

    path: str
    value: str
    refused: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """A file is read."""

    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Resize:
    """The host asks a virtio-mem device for another size.

    ``kept_bytes`` it has more than it should have; then ``kept_online`` are all
    online blocks afterwards.
    """

    device: str
    size_bytes: int
    kept_bytes: int = 0
    kept_online: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Shell:
    """A command is run in the guest."""

    command: str


RecordedStep = Add | Remove | Write | Read | Resize | Shell


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """The inputs of one recording."""

    name: str
    kernel: str
    profile: Profile
    line: CommandLine
    firmware: Firmware
    steps: tuple[RecordedStep, ...]


def read_recording(path: Path) -> Json:
    """Read a file's JSON; raises ``RecordingError``."""
    try:
        document = parse_json(path.read_text(encoding="utf-8"))
    except OSError as err:
        raise RecordingError(
            file=str(path), field="file", problem=f"cannot be read ({err.strerror})"
        ) from err
    except ValueError as err:
        raise RecordingError(file=str(path), field="file", problem=f"is no JSON ({err})") from err
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise RecordingError(file=str(path), field="format", problem=f"must be {FORMAT}")
    return document


def parse_recording(document: Mapping[str, Any], file: str) -> Recording:
    """Take the inputs out of a recording, whole or stripped; raises ``RecordingError``."""
    check_inputs(document, file)
    try:
        machine = document["machine"]
        profile = _profile(document["kernel"], machine, file)
        return Recording(
            name=str(document.get("name", file)),
            kernel=document["kernel"],
            profile=profile,
            line=parse_command_line(machine["command_line"], memmap_force=profile.memmap_force),
            firmware=_firmware(machine),
            steps=tuple(_steps(document.get("steps", []), file)),
        )
    except KeyError as err:
        raise RecordingError(file=file, field=str(err.args[0]), problem="is missing") from err
    except (TypeError, ValueError, AttributeError, IndexError) as err:
        raise RecordingError(file=file, field="machine", problem=f"is malformed ({err})") from err


def _profile(release: str, machine: Mapping[str, Any], file: str) -> Profile:
    profile = profile_of(release)
    if profile is None:
        known = ", ".join(PROFILES)
        raise RecordingError(
            file=file, field="kernel", problem=f"is {release}; the model has {known}"
        )
    config = machine["config"]
    return replace(
        profile,
        release=release,
        crash_hotplug=bool(config["crash_hotplug"]),
        memory_failure=bool(config["memory_failure"]),
        auto_online=OnlineType(config["auto_online"]),
    )


def _firmware(machine: Mapping[str, Any]) -> Firmware:
    override = machine.get("acpi_override")
    return Firmware(
        memory_map=tuple(
            MapEntry(range=PhysRange.inclusive(first, last), kind=kind)
            for first, last, kind in machine["memory_map"]
        ),
        affinities=tuple(
            Affinity(
                range=PhysRange.at(entry["start"], entry["size"]),
                node=NodeId(entry["node"]),
                hotpluggable=bool(entry["hotpluggable"]),
            )
            for entry in machine["srat"]
            if entry["size"]
        ),
        cpu_nodes=tuple(NodeId(node) for node in machine["cpu_nodes"]),
        kernel_image=_ranges(machine["kernel_image"]),
        ramdisk=_ranges(machine["ramdisk"]),
        acpi_override=None if override is None else PhysRange.inclusive(*override),
        dimms=tuple(
            Dimm(
                name=entry["device"],
                size_bytes=entry["size"],
                node=NodeId(entry["node"]),
                start=entry["start"],
            )
            for entry in machine["boot_devices"]
        ),
        virtio_mem=tuple(
            VirtioMem(
                name=entry["device"],
                range=PhysRange.at(entry["start"], entry["size"]),
                node=NodeId(entry["node"]),
                device_block_bytes=entry["sub_block"],
            )
            for entry in machine["virtio_mem"]
        ),
    )


def _ranges(pairs: list[list[int]]) -> tuple[PhysRange, ...]:
    return tuple(PhysRange.inclusive(first, last) for first, last in pairs)


def _steps(documents: list[Json], file: str) -> Iterator[RecordedStep]:
    for index, step in enumerate(documents):
        try:
            yield _step(step)
        except (KeyError, TypeError, ValueError) as err:
            raise RecordingError(
                file=file, field=f"steps[{index}]", problem=f"is malformed ({err!r})"
            ) from err


def _step(step: Json) -> RecordedStep:
    match step["op"]:
        case "add":
            return Add(
                device=step["device"],
                start=step["start"],
                size_bytes=step["size"],
                node=NodeId(step["node"]),
            )
        case "remove":
            refused = step.get("removed") is False
            return Remove(
                device=step["device"], refused_with=_online_after(step) if refused else None
            )
        case "write":
            return Write(path=step["path"], value=step["value"], refused=_hint(step))
        case "read":
            return Read(path=step["path"])
        case "resize":
            kept = _kept_bytes(step)
            return Resize(
                device=step["device"],
                size_bytes=step["size"],
                kept_bytes=kept,
                kept_online=_online_after(step) if kept else frozenset(),
            )
        case "sh":
            return Shell(command=step["command"])
        case other:
            raise ValueError(f"unknown op {other!r}")


def _hint(step: Json) -> str | None:
    """The errno of a write, where it may tell of what a page holds.

    EBUSY may; and EIO, where a page of the kernel's was to be taken out of use.
    """
    told: str | None = step.get("errno")
    softly = str(step.get("path", "")).endswith("soft_offline_page")
    return told if told == "EBUSY" or (told == "EIO" and softly) else None


def _kept_bytes(step: Json) -> int:
    """What a virtio-mem device has beyond what was asked of it."""
    kept: int = step["kept"] if "kept" in step else step.get("plugged", 0) - step["size"]
    return max(0, kept)


def _online_after(step: Json) -> frozenset[int]:
    """The blocks that were online after a refused removal, or a resize that fell short.

    A whole recording has them in its observation; a stripped one has them by
    themselves, as numbers or as ``[first, last]`` pairs.
    """
    if "observe" in step:
        runs = step["observe"]["blocks"]
    else:
        runs = next((step[key] for key in ("online_blocks", "online", "blocks") if key in step), [])
    found: set[int] = set()
    for run in runs:
        if isinstance(run, int):
            found.add(run)
        elif isinstance(run, list):
            found.update(range(run[0], run[-1] + 1))
        elif run.get("state", "online") == "online":
            found.update(range(run["first"], run["last"] + 1))
    return frozenset(found)


def strip_recording(document: Mapping[str, Any]) -> Json:
    """Leave the inputs and hints of a recording, and nothing else; raises ``RecordingError``."""
    name = str(document.get("name", "recording"))
    check_inputs(document, name)
    machine = {
        key: document["machine"].get(key)
        for key in (
            "command_line",
            "memory_map",
            "srat",
            "cpu_nodes",
            "ramdisk",
            "kernel_image",
            "boot_devices",
            "acpi_override",
            "virtio_mem",
            "config",
        )
    }
    return {
        "format": FORMAT,
        "name": name,
        "kernel": document["kernel"],
        "machine": machine,
        "steps": [_stripped_step(step) for step in document.get("steps", [])],
    }


def _stripped_step(step: Json) -> Json:
    arguments = ("op", "device", "start", "size", "node", "path", "value", "command")
    kept = {key: step[key] for key in arguments if key in step}
    if (told := _hint(step)) is not None:
        kept["errno"] = told
    if step.get("removed") is False:
        kept |= {"removed": False, "ost": step.get("ost")}
        kept["online_blocks"] = sorted(_online_after(step))
    if step["op"] == "resize" and _kept_bytes(step):
        kept |= {"kept": _kept_bytes(step), "online_blocks": sorted(_online_after(step))}
    return kept
