"""The hardware and firmware that a modelled kernel boots on: frozen, in bytes."""

from dataclasses import dataclass
from typing import Final

from memhp.core.geometry import NodeId
from memhp.core.ranges import PhysRange

USABLE: Final = "usable"


@dataclass(frozen=True, slots=True, kw_only=True)
class MapEntry:
    """One entry of the firmware's memory map (e820).

    ``kind`` is the kernel's word (``usable``, ``reserved``, ``ACPI data`` …);
    ``mirrored`` tells of memory that the hardware keeps twice.
    """

    range: PhysRange
    kind: str
    mirrored: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Affinity:
    """An enabled memory affinity entry of the SRAT, with Linux's node for its domain."""

    range: PhysRange
    node: NodeId
    hotpluggable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Dimm:
    """A DIMM slot, and the DIMM that sits in it or waits beside it.

    ``present`` tells whether the firmware reports it while booting; ``start``
    is ``None`` for a module that gets its address when it is added.
    """

    name: str
    size_bytes: int
    node: NodeId
    start: int | None = None
    present: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtioMem:
    """A virtio-mem device: its region, node, device block size, and what it asks for."""

    name: str
    range: PhysRange
    node: NodeId
    device_block_bytes: int
    requested_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Firmware:
    """All that the kernel finds when it starts.

    ``kernel_ranges`` are where the boot loader put the kernel and its initrd;
    ``acpi_override`` is where the kernel itself puts an SRAT replaced from the
    initrd. ``hotplug_window`` is the address space for memory that comes later;
    ``nr_slots`` are all DIMM slots, ``None`` where nobody has counted them;
    ``cpu_counts`` how many processors nodes have.
    """

    memory_map: tuple[MapEntry, ...]
    affinities: tuple[Affinity, ...]
    cpu_nodes: tuple[NodeId, ...]
    kernel_image: tuple[PhysRange, ...] = ()
    ramdisk: tuple[PhysRange, ...] = ()
    acpi_override: PhysRange | None = None
    dimms: tuple[Dimm, ...] = ()
    nr_slots: int | None = None
    virtio_mem: tuple[VirtioMem, ...] = ()
    distances: tuple[tuple[int, ...], ...] = ()
    hypervisor: bool = True
    hotplug_window: PhysRange | None = None
    cpu_counts: tuple[tuple[NodeId, int], ...] = ()

    @property
    def cpus(self) -> dict[NodeId, int]:
        """How many processors each node has; one where nobody has counted them."""
        return dict.fromkeys(self.cpu_nodes, 1) | dict(self.cpu_counts)

    @property
    def possible_nodes(self) -> tuple[NodeId, ...]:
        """The nodes that the firmware names, ascending (``numa_nodes_parsed``)."""
        named = {affinity.node for affinity in self.affinities} | set(self.cpu_nodes)
        return tuple(sorted(named or {NodeId(0)}))
