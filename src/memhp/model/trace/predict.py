"""Running a recording's steps on the model: what it would have recorded."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from memhp.core.errors import RecordingError
from memhp.model.acpi_memory import eject, plug_in
from memhp.model.boot import boot
from memhp.model.boot_inputs import LEAST_MEMORY
from memhp.model.bring_up import bring_up_devices
from memhp.model.devices import DimmSlot
from memhp.model.kernel import Kernel
from memhp.model.memblock import usable_ranges
from memhp.model.steps import KernelRefusal, run
from memhp.model.trace.hints import forget_hints, hint_of_removal, hint_of_resize, hint_of_write
from memhp.model.trace.observe import observe
from memhp.model.trace.recording import (
    FORMAT,
    Add,
    Read,
    RecordedStep,
    Recording,
    Remove,
    Resize,
    Shell,
    Write,
)
from memhp.model.tree.memory import block_number
from memhp.model.tree.tree import Tree
from memhp.model.virtio_mem import resize

Json = dict[str, Any]
_MEMORY = "/sys/devices/system/memory"
_PARAMETERS = "/sys/module/memory_hotplug/parameters"
_LISTED_BLOCK = f"{_MEMORY}/memory1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What the model would have recorded, in the format of a recording.

    ``boot_memory_zones`` are the zones that hold boot memory: what they have
    managed depends on what the kernel took for itself and is not compared.
    """

    document: Json
    boot_memory_zones: frozenset[tuple[int, str]]


def predict(recording: Recording) -> Prediction:
    """Boot the model as the recording says, do each step, and observe."""
    kernel = boot_recorded(recording)
    boot_zones = frozenset(
        (int(zone.node), zone.zone.value) for zone in kernel.zones.values() if zone.present_early
    )
    document = {
        "format": FORMAT,
        "name": recording.name,
        "kernel": recording.kernel,
        "machine": _machine(kernel, Tree(kernel)),
        "boot": observe(kernel),
        "steps": list(_walk(kernel, recording)),
    }
    return Prediction(document=document, boot_memory_zones=boot_zones)


def boot_recorded(recording: Recording) -> Kernel:
    """Boot the modelled machine of a recording, with the devices that were there.

    Raises ``RecordingError`` where no kernel could have booted.
    """
    usable = sum(part.size_bytes for part in usable_ranges(recording.firmware, recording.line))
    if usable < LEAST_MEMORY:
        raise RecordingError(
            file=recording.name, field="machine.memory_map", problem="leaves too little memory"
        )
    kernel = boot(recording.firmware, recording.line, recording.profile)
    # What a kernel zone held is told by hints alone.
    kernel.own_pages_block = False
    bring_up_devices(kernel)
    return kernel


def _machine(kernel: Kernel, tree: Tree) -> Json:
    return {
        "block_size": kernel.block_size_bytes,
        "parameters": {
            name: tree.read(f"{_PARAMETERS}/{name}").strip()
            for name in sorted(tree.list(_PARAMETERS))
        },
        "memory_files": [name for name in _listed(tree, _MEMORY) if block_number(name) is None],
        "block_files": _listed(tree, _LISTED_BLOCK) if tree.exists(_LISTED_BLOCK) else [],
    }


def _listed(tree: Tree, path: str) -> list[str]:
    """The names that a recording has: those of power management are left out."""
    return sorted(name for name in tree.list(path) if name != "power")


def _walk(kernel: Kernel, recording: Recording) -> Iterator[Json]:
    for index, step in enumerate(recording.steps):
        _check_device(kernel, step, index, recording.name)
        sent = len(kernel.uevents)
        result = _carry_out(kernel, step)
        if not isinstance(step, Read):
            result["uevents"] = [[event.action, event.devpath] for event in kernel.uevents[sent:]]
            result["observe"] = observe(kernel)
        yield result


def _check_device(kernel: Kernel, step: RecordedStep, index: int, name: str) -> None:
    """A recording has no step about a device that is not there, or is there already."""
    match step:
        case Add(device=device):
            wrong = "is there already" if device in kernel.slots else None
        case Remove(device=device):
            wrong = None if device in kernel.slots else "is not there"
        case Resize(device=device, kept_bytes=kept):
            found = kernel.virtio_mem.get(device)
            wrong = "is not there" if found is None else None
            if found is not None and kept > found.region.size_bytes:
                wrong = "keeps more than it has"
        case _:
            return
    if wrong is not None:
        field = f"steps[{index}].device"
        raise RecordingError(file=name, field=field, problem=f"'{device}' {wrong}")


def _carry_out(kernel: Kernel, step: RecordedStep) -> Json:
    match step:
        case Add():
            return _add(kernel, step)
        case Remove():
            return _remove(kernel, step)
        case Write():
            return _write(kernel, step)
        case Read():
            return _read(kernel, step)
        case Resize():
            return _resize(kernel, step)
        case Shell():
            return {"op": "sh", "command": step.command} | _shell(kernel, step.command)


def _add(kernel: Kernel, step: Add) -> Json:
    index = min(set(range(len(kernel.slots) + 1)) - {s.index for s in kernel.slots.values()})
    slot = DimmSlot(
        name=step.device,
        index=index,
        size_bytes=step.size_bytes,
        node=step.node,
        start=step.start,
    )
    kernel.slots[slot.name] = slot
    verdict = run(plug_in(kernel, slot))
    return {
        "op": "add",
        "device": step.device,
        "start": step.start,
        "size": step.size_bytes,
        "node": int(step.node),
        "ost": int(verdict.ost),
    }


def _remove(kernel: Kernel, step: Remove) -> Json:
    hint_of_removal(kernel, step)
    verdict = run(eject(kernel, kernel.slots[step.device]))
    forget_hints(kernel)
    removed = verdict.ost == 0
    if removed:
        del kernel.slots[step.device]
    return {"op": "remove", "device": step.device, "removed": removed, "ost": int(verdict.ost)}


def _resize(kernel: Kernel, step: Resize) -> Json:
    device = kernel.virtio_mem[step.device]
    hint_of_resize(kernel, step)
    plugged = run(resize(kernel, device, step.size_bytes))
    forget_hints(kernel)
    return {"op": "resize", "device": step.device, "size": step.size_bytes, "plugged": plugged}


def _write(kernel: Kernel, step: Write) -> Json:
    path = step.path if step.path.startswith("/") else f"{_MEMORY}/{step.path}"
    if step.refused is not None:
        trying = partial(_errno_of, path=path, value=step.value)
        hint_of_write(kernel, path, step.value, step.refused, trying)
    refused = _errno_of(kernel, path, step.value)
    forget_hints(kernel)
    return {"op": "write", "path": step.path, "value": step.value, "errno": refused}


def _read(kernel: Kernel, step: Read) -> Json:
    path = step.path if step.path.startswith("/") else f"{_MEMORY}/{step.path}"
    try:
        content = Tree(kernel).read(path)
    except KernelRefusal as refusal:
        return {"op": "read", "path": step.path, "ok": False, "text": errno_text(refusal)}
    return {"op": "read", "path": step.path, "ok": True, "text": content.removesuffix("\n")}


def errno_text(refusal: KernelRefusal) -> str:
    """What a reader's shell would print."""
    return f"{refusal.errno_name}: {os.strerror(refusal.errno or 0)}"


def _shell(kernel: Kernel, command: str) -> Json:
    """The output of ``cat FILE`` for a file that the model knows exactly, else nothing."""
    name, _, path = command.partition(" ")
    if name != "cat" or not path.startswith((_MEMORY, _PARAMETERS)):
        return {}
    try:
        return {"text": Tree(kernel).read(path).removesuffix("\n"), "rc": 0}
    except KernelRefusal:
        return {}


def _errno_of(kernel: Kernel, path: str, value: str) -> str | None:
    """What a shell's ``echo VALUE > PATH`` fails with."""
    tree = Tree(kernel)
    parent = path.rpartition("/")[0]
    if not tree.exists(path) and tree.exists(parent) and path.startswith("/sys"):
        # The shell would make the file, and nobody makes files in sysfs (kernfs has no create).
        return "EACCES"
    try:
        tree.write(path, value + "\n")
    except KernelRefusal as refusal:
        return refusal.errno_name
    return None
