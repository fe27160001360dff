"""Memory devices of a Linux machine, and the addresses that the kernel took from each.

- ACPI's ``PNP0C80``: which blocks are a device's own say the links
  ``physical_node*`` (``acpi_bind_memory_blocks()``).
- virtio-mem: its region is an entry of iomem with the device's name, what came
  of it are the entries ``System RAM (virtio_mem)`` inside.
- dax: ``mappingN``, or ``resource`` and ``size``; it is present, as memory, while
  kmem is its driver.
- s390: standby memory that is configured or not, block by block.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from memhp.core.errors import MachineError
from memhp.core.geometry import NodeId
from memhp.core.ranges import PhysRange, runs_of
from memhp.core.snapshot import Device, IomemEntry
from memhp.core.words import DeviceKind
from memhp.machines.linux.hotplug_work import is_hotplug_at_work
from memhp.machines.linux.numbers import indexed, number
from memhp.machines.linux.root import MEMORY, Root

ACPI = "sys/bus/acpi/devices"
_VIRTIO = "sys/bus/virtio/drivers/virtio_mem"
DAX = "sys/bus/dax/devices"
_STANDBY = "sys/firmware/memory"
_IDLE = "the kernel works on no eject any longer, and the device is still there"
_PRESENT = 1
"""Bit 0 of ``_STA`` (ACPI 6.5, 6.3.7)."""


def read_devices(
    root: Root, block_size_bytes: int, iomem: Iterable[IomemEntry]
) -> tuple[Device, ...]:
    """Every memory device by kind and name; raises ``MachineError``."""
    iomem = tuple(iomem)
    return (
        *_acpi(root, block_size_bytes),
        *_virtio_mem(root, block_size_bytes, iomem),
        *_dax(root, iomem),
        *_standby(root, block_size_bytes),
    )


def _acpi(root: Root, block_size_bytes: int) -> Iterator[Device]:
    names = sorted(name for name in root.names(ACPI) if name.startswith("PNP0C80:"))
    present = {name: is_present(root, name) for name in names}
    looks = root.is_live and root.mounted is None and any(present.values())
    at_work = is_hotplug_at_work(root) if looks else None
    for name in names:
        blocks = bound_blocks(root, name)
        ranges = tuple(_ranges(blocks, block_size_bytes))
        yield Device(
            name=name,
            kind=DeviceKind.DIMM,
            size_bytes=sum(part.size_bytes for part in ranges),
            node=_node_of(root, blocks),
            present=present[name],
            ranges=ranges,
            pending=at_work if present[name] else None,
            verdict=_IDLE if present[name] and at_work is False else None,
        )


def is_present(root: Root, device: str) -> bool:
    """Whether an ACPI device is there, by its ``_STA``."""
    status = number(root.text_if_there(f"{ACPI}/{device}/status")) or 0
    return bool(status & _PRESENT)


def bound_blocks(root: Root, device: str) -> tuple[int, ...]:
    """The blocks of an ACPI device, ascending."""
    found = []
    for name in root.names(f"{ACPI}/{device}"):
        if name.startswith("physical_node"):
            target = root.link(f"{ACPI}/{device}/{name}")
            block = indexed(os.path.basename(target), "memory")
            if block is not None:
                found.append(block)
    return tuple(sorted(found))


def _virtio_mem(
    root: Root, block_size_bytes: int, iomem: tuple[IomemEntry, ...]
) -> Iterator[Device]:
    names = [name for name in root.names(_VIRTIO) if indexed(name, "virtio") is not None]
    for name in sorted(names, key=lambda name: indexed(name, "virtio") or 0):
        region = next((entry.range for entry in iomem if entry.name == name), None)
        ranges = () if region is None else tuple(_ram_inside(region, iomem))
        blocks = [n for part in ranges for n in part.blocks_touched(block_size_bytes)]
        yield Device(
            name=name,
            kind=DeviceKind.VIRTIO_MEM,
            size_bytes=0 if region is None else region.size_bytes,
            node=_node_of(root, blocks),
            present=True,
            ranges=ranges,
        )


def _dax(root: Root, iomem: tuple[IomemEntry, ...]) -> Iterator[Device]:
    for name in sorted(name for name in root.names(DAX) if name.startswith("dax")):
        folder = f"{DAX}/{name}"
        node = number(root.text_if_there(f"{folder}/target_node"))
        is_memory = driver_of(root, name) == "kmem"
        parts = dax_ranges(root, name) if is_memory else ()
        yield Device(
            name=name,
            kind=DeviceKind.DAX,
            size_bytes=number(root.text_if_there(f"{folder}/size"), 0) or 0,
            node=None if node is None or node < 0 else NodeId(node),
            present=is_memory,
            ranges=tuple(ram for part in parts for ram in _ram_inside(part, iomem)),
        )


def driver_of(root: Root, device: str) -> str:
    """The driver of a dax device; empty while it has none."""
    return os.path.basename(root.link(f"{DAX}/{device}/driver"))


def dax_ranges(root: Root, device: str) -> tuple[PhysRange, ...]:
    """The addresses of a dax device, none where they cannot be seen: root alone may read them."""
    try:
        return _dax_ranges(root, device)
    except MachineError:
        return ()


def _dax_ranges(root: Root, device: str) -> tuple[PhysRange, ...]:
    folder = f"{DAX}/{device}"
    mappings = sorted(name for name in root.names(folder) if name.startswith("mapping"))
    parts = []
    for name in mappings:
        first, last = (
            number(root.text_if_there(f"{folder}/{name}/{edge}"), 0) for edge in ("start", "end")
        )
        if first is not None and last is not None and first <= last:
            parts.append(PhysRange.inclusive(first, last))
    size = number(root.text_if_there(f"{folder}/size"), 0) or 0
    start = number(root.text_if_there(f"{folder}/resource"), 0)
    whole = () if start is None or not size else (PhysRange.at(start, size),)
    return tuple(parts) or whole


def _standby(root: Root, block_size_bytes: int) -> Iterator[Device]:
    """Runs of blocks that stand alike; each is named for its first block."""
    found = {
        block: root.text_if_there(f"{_STANDBY}/{name}/config") == "1"
        for name in root.names(_STANDBY)
        if (block := indexed(name, "memory")) is not None
    }
    for configured, group in groupby(sorted(found), key=found.__getitem__):
        for part in _ranges(list(group), block_size_bytes):
            yield Device(
                name=f"standby{part.start // block_size_bytes}",
                kind=DeviceKind.STANDBY,
                size_bytes=part.size_bytes,
                node=None,
                present=configured,
                ranges=(part,) if configured else (),
            )


def _ram_inside(region: PhysRange, iomem: Iterable[IomemEntry]) -> Iterator[PhysRange]:
    for entry in iomem:
        inside = region.start <= entry.range.start and entry.range.end <= region.end
        if inside and entry.name.startswith("System RAM"):
            yield entry.range


def _ranges(blocks: Iterable[int], block_size_bytes: int) -> Iterator[PhysRange]:
    for first, last in runs_of(blocks):
        yield PhysRange(start=first * block_size_bytes, end=(last + 1) * block_size_bytes)


def _node_of(root: Root, blocks: Sequence[int]) -> NodeId | None:
    """The node of a device's first block; ``None`` while it has none."""
    for name in root.names(f"{MEMORY}/memory{blocks[0]}") if blocks else ():
        node = indexed(name, "node")
        if node is not None:
            return NodeId(node)
    return None
