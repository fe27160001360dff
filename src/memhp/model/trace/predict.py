"""Running a recording's steps on the model: what it would have recorded."""

import copy
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from memhp.core.words import BlockState, ZoneType
from memhp.model.acpi_memory import Verdict, eject, plug_in
from memhp.model.boot import boot
from memhp.model.bring_up import bring_up_devices
from memhp.model.devices import DimmSlot
from memhp.model.kernel import Kernel
from memhp.model.steps import KernelRefusal, run
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
_BUSY = "EBUSY"
_HINTED = "what a recording says a kernel zone held"


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
    """Boot the modelled machine of a recording, with the devices that were there."""
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
    for step in recording.steps:
        result = _carry_out(kernel, step)
        if not isinstance(step, Read):
            result["observe"] = observe(kernel)
        yield result


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
            plugged = run(resize(kernel, kernel.virtio_mem[step.device], step.size_bytes))
            return {
                "op": "resize",
                "device": step.device,
                "size": step.size_bytes,
                "plugged": plugged,
            }
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
    if step.refused_with is not None:
        held = _held_by(kernel, step.device, step.refused_with)
        kernel.unmovable |= dict.fromkeys(held, _HINTED)
    verdict = _eject(kernel, step.device)
    kernel.unmovable.clear()
    removed = verdict.ost == 0
    if removed:
        del kernel.slots[step.device]
    return {"op": "remove", "device": step.device, "removed": removed, "ost": int(verdict.ost)}


def _held_by(kernel: Kernel, device: str, online: frozenset[int]) -> tuple[int, ...]:
    """The smallest set of the device's kernel-zone blocks that explains a refusal."""
    slot = kernel.slots[device]
    numbers = kernel.blocks_of(slot.range) if slot.enabled else range(0)
    candidates = [number for number in numbers if _is_online_in_kernel_zone(kernel, number)]
    for size in range(len(candidates) + 1):
        for held in combinations(candidates, size):
            trial = copy.deepcopy(kernel)
            trial.unmovable |= dict.fromkeys(held, _HINTED)
            if _eject(trial, device).ost != 0 and _online(trial) == online:
                return held
    return ()


def _eject(kernel: Kernel, device: str) -> Verdict:
    return run(eject(kernel, kernel.slots[device]))


def _online(kernel: Kernel) -> frozenset[int]:
    return frozenset(
        number
        for run_ in kernel.blocks
        if run_.value.state is BlockState.ONLINE
        for number in range(run_.start, run_.end)
    )


def _is_online_in_kernel_zone(kernel: Kernel, number: int) -> bool:
    block = kernel.blocks.get(number)
    return (
        block is not None
        and block.state is BlockState.ONLINE
        and block.zone is not None
        and block.zone is not ZoneType.MOVABLE
    )


def _write(kernel: Kernel, step: Write) -> Json:
    path = step.path if step.path.startswith("/") else f"{_MEMORY}/{step.path}"
    if step.busy:
        number = block_number(path.removeprefix(f"{_MEMORY}/").partition("/")[0])
        if number is not None and _is_online_in_kernel_zone(kernel, number):
            trial = copy.deepcopy(kernel)
            if _errno_of(trial, path, step.value) != _BUSY:
                kernel.unmovable[number] = _HINTED
    refused = _errno_of(kernel, path, step.value)
    kernel.unmovable.clear()
    return {"op": "write", "path": step.path, "value": step.value, "errno": refused}


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
