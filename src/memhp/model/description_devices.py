"""DIMMs and virtio-mem devices of a described machine, and the addresses they get."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from memhp.core.errors import ArgumentError
from memhp.core.geometry import GIB, MIB, NodeId, round_up
from memhp.core.ranges import PhysRange
from memhp.core.targets import DeviceTarget, format_size, parse_target
from memhp.model.description_memory import BootMemory
from memhp.model.description_table import LAST_ADDRESS, Table
from memhp.model.firmware import Affinity, Dimm, VirtioMem

DIMM_KEYS: Final = ("name", "size", "node", "address", "waiting")
VIRTIO_MEM_KEYS: Final = ("name", "size", "node", "address", "device_block", "requested")
MOST_SLOTS: Final = 256
"""ACPI memory devices of a machine, as in QEMU (``ACPI_MAX_RAM_SLOTS``)."""
_MOST_VIRTIO_MEM = 64
_STEP: Final = 2 * MIB
_FOUR_GIB: Final = 4 * GIB
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.:-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Devices:
    """What can be added and removed whole, and the address space that is kept for it.

    ``nr_slots`` are all DIMM slots, ``None`` where the description names no number.
    """

    dimms: tuple[Dimm, ...]
    virtio_mem: tuple[VirtioMem, ...]
    nr_slots: int | None
    window: PhysRange

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all devices."""
        return (*(d.name for d in self.dimms), *(d.name for d in self.virtio_mem))

    def affinities(self, last_node: NodeId) -> Iterator[Affinity]:
        """The SRAT's entries for memory that may come; what is free counts for the last node."""
        parts = [(PhysRange.at(d.start or 0, d.size_bytes), d.node) for d in self.dimms]
        parts += [(device.range, device.node) for device in self.virtio_mem]
        at = self.window.start
        for part, node in sorted(parts):
            if at < part.start:
                yield Affinity(
                    range=PhysRange(start=at, end=part.start), node=last_node, hotpluggable=True
                )
            yield Affinity(range=part, node=node, hotpluggable=True)
            at = max(at, part.end)
        if at < self.window.end:
            yield Affinity(
                range=PhysRange(start=at, end=self.window.end), node=last_node, hotpluggable=True
            )


def read_devices(machine: Table, memory: BootMemory, block_size_bytes: int) -> Devices:
    """Read ``[[dimm]]`` and ``[[virtio_mem]]`` and give each its addresses.

    Addresses follow boot memory, aligned to 1 GiB or to the block size where
    that is larger. Raises ``DescriptionError``.
    """
    places = _Places(memory, max(GIB, block_size_bytes))
    nr_nodes = len(memory.nodes)
    dimms = [
        (table, _dimm(table, f"dimm{number}", nr_nodes))
        for number, table in enumerate(machine.tables("dimm"))
    ]
    virtio = [
        (table, _virtio_mem(table, f"virtio-mem{number}", nr_nodes, block_size_bytes))
        for number, table in enumerate(_virtio_tables(machine))
    ]
    named = [(table, d.name) for table, d in dimms] + [(table, d.name) for table, d in virtio]
    _check_names(named)
    places.take_given([table for table, _ in named])
    return Devices(
        dimms=tuple(replace(d, start=places.of(table, d.size_bytes)) for table, d in dimms),
        virtio_mem=tuple(
            replace(d, range=PhysRange.at(places.of(table, d.range.size_bytes), d.range.size_bytes))
            for table, d in virtio
        ),
        nr_slots=_slots(machine),
        window=places.window(machine.table("layout")),
    )


class _Places:
    """Addresses for devices, behind the memory that is there at boot."""

    def __init__(self, memory: BootMemory, step: int) -> None:
        self._step = step
        self._start = round_up(max(memory.end, _FOUR_GIB), step)
        self._boot_bytes = sum(node.size_bytes for node in memory.nodes)
        self._taken: list[PhysRange] = []

    def take_given(self, tables: Sequence[Table]) -> None:
        """Take the addresses that the description gives before any others are chosen."""
        for table in tables:
            if "address" not in table:
                continue
            start = table.address("address")
            wanted = PhysRange.at(start, table.size("size", step=_STEP))
            if start % _STEP or start < self._start:
                raise table.error(
                    "address",
                    f"is {start:#x}",
                    f"give a multiple of {format_size(_STEP)} behind boot memory, from "
                    f"{self._start:#x} on",
                )
            other = next((one for one in self._taken if one.overlaps(wanted)), None)
            if other is not None:
                raise table.error("address", f"{wanted} overlaps {other}", "give each address once")
            self._take(table, "address", wanted)

    def of(self, table: Table, size_bytes: int) -> int:
        """Where a device lies: the lowest free place, unless its address is given."""
        if "address" in table:
            return table.address("address")
        start = self._start
        for other in sorted(self._taken):
            if other.overlaps(PhysRange.at(start, size_bytes)):
                start = round_up(other.end, self._step)
        self._take(table, "size", PhysRange.at(start, size_bytes))
        return start

    def window(self, layout: Table) -> PhysRange:
        """Everything from the end of boot memory on that is or may be used.

        Unless ``hotplug_space`` says how much: what devices take and as much
        again as there is at boot.
        """
        start, used_end = self._start, max([self._start, *(part.end for part in self._taken)])
        spare = round_up(max(self._boot_bytes, self._step), self._step)
        end = min(LAST_ADDRESS, round_up(used_end, self._step) + spare)
        if "hotplug_space" in layout:
            size_bytes = layout.size("hotplug_space", step=_STEP)
            end = start + size_bytes
            if not used_end <= end <= LAST_ADDRESS:
                raise layout.error(
                    "hotplug_space",
                    f"is {format_size(size_bytes)}",
                    f"devices take {used_end - start:#x} bytes, and {LAST_ADDRESS - start:#x} are "
                    "left behind boot memory",
                )
        if end <= start:
            raise layout.error(None, "leaves no addresses for hot-plug", "give nodes less memory")
        return PhysRange(start=start, end=end)

    def _take(self, table: Table, key: str, wanted: PhysRange) -> None:
        if wanted.end > LAST_ADDRESS:
            raise table.error(
                key, f"makes it end at {wanted.end:#x}", f"x86-64 reaches {LAST_ADDRESS:#x} at most"
            )
        self._taken.append(wanted)


def _slots(machine: Table) -> int | None:
    if len(machine.tables("dimm")) > MOST_SLOTS:
        raise machine.error("dimm", "has too many slots", f"give {MOST_SLOTS} tables at most")
    if "dimm_slots" not in machine:
        return None
    nr_slots = machine.count("dimm_slots", least=0, most=MOST_SLOTS)
    if nr_slots < len(machine.tables("dimm")):
        raise machine.error(
            "dimm_slots",
            f"is {nr_slots}",
            f"there are {len(machine.tables('dimm'))} tables [[dimm]], and each has a slot",
        )
    return nr_slots


def _virtio_tables(machine: Table) -> tuple[Table, ...]:
    tables = machine.tables("virtio_mem")
    if len(tables) > _MOST_VIRTIO_MEM:
        raise machine.error("virtio_mem", "has too many", f"give {_MOST_VIRTIO_MEM} at most")
    return tables


def _dimm(table: Table, default_name: str, nr_nodes: int) -> Dimm:
    table.only(DIMM_KEYS)
    return Dimm(
        name=_name(table, default_name),
        size_bytes=table.size("size", step=_STEP),
        node=_node(table, nr_nodes),
        present=not table.flag("waiting", default=False),
    )


def _virtio_mem(table: Table, default_name: str, nr_nodes: int, block_size_bytes: int) -> VirtioMem:
    """Read a device; its range begins at 0 until it gets a place."""
    table.only(VIRTIO_MEM_KEYS)
    size_bytes = table.size("size", step=block_size_bytes)
    device_block_bytes = table.size("device_block", _STEP, step=_STEP)
    if device_block_bytes & (device_block_bytes - 1) or size_bytes % device_block_bytes:
        raise table.error(
            "device_block",
            f"is {format_size(device_block_bytes)}",
            "give a power of two from 2M up that divides the size",
        )
    requested_bytes = table.size("requested", 0, step=device_block_bytes)
    if requested_bytes > size_bytes:
        raise table.error(
            "requested",
            f"is {format_size(requested_bytes)}",
            f"the device has {format_size(size_bytes)}",
        )
    if "address" in table and table.address("address") % block_size_bytes:
        raise table.error(
            "address",
            f"is {table.address('address'):#x}",
            f"give a multiple of the memory block size, {format_size(block_size_bytes)}",
        )
    return VirtioMem(
        name=_name(table, default_name),
        range=PhysRange.at(0, size_bytes),
        node=_node(table, nr_nodes),
        device_block_bytes=device_block_bytes,
        requested_bytes=requested_bytes,
    )


def _node(table: Table, nr_nodes: int) -> NodeId:
    node = table.count("node", 0, least=0, most=1 << 32)
    if node >= nr_nodes:
        last = "is node 0 alone" if nr_nodes == 1 else f"are nodes 0 to {nr_nodes - 1}"
        raise table.error("node", f"is {node}, which is not described", f"there {last}")
    return NodeId(node)


def _name(table: Table, default: str) -> str:
    name = table.text("name", default)
    allowed = "give letters, digits and _.:- after a letter, as dimm0, and nothing like memory3"
    if not _NAME.fullmatch(name):
        raise table.error("name", "is no name of a device", allowed)
    try:
        target = parse_target(name)
    except ArgumentError as err:
        raise table.error("name", "is no name of a device", allowed) from err
    if not isinstance(target, DeviceTarget):
        raise table.error("name", f"'{name}' means something else to memhp", allowed)
    return name


def _check_names(named: Sequence[tuple[Table, str]]) -> None:
    seen: set[str] = set()
    for table, name in named:
        if name in seen:
            raise table.error(
                "name" if "name" in table else None,
                f"gives the name '{name}' twice",
                "give every device its own name",
            )
        seen.add(name)
