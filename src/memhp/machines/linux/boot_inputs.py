"""What a Linux machine was booted from, read from its files: memory map, SRAT, kernel, initrd.

- The firmware's map is that of the boot loader (``/sys/kernel/boot_params/data``,
  the kernel's "zero page", ``Documentation/arch/x86/zero-page.rst``), for
  ``/sys/firmware/memmap`` gets entries of memory that was added later.
- The kernel image is in iomem, the initrd in the zero page. The image moves from
  boot to boot where addresses are randomised.
- DIMMs that are there now will be there at the next boot.
"""

import struct
from collections.abc import Iterator

from memhp.core.acpi.slit import parse_slit
from memhp.core.acpi.srat import Srat, node_of_domain, parse_srat
from memhp.core.command_line import parse_command_line
from memhp.core.errors import MachineError
from memhp.core.geometry import NodeId
from memhp.core.ranges import PhysRange
from memhp.core.snapshot import Device, IomemEntry
from memhp.core.words import DeviceKind
from memhp.machines.linux.devices import read_devices
from memhp.machines.linux.iomem import read_iomem
from memhp.machines.linux.list_blocks import read_block_size
from memhp.machines.linux.nodes import read_nodes
from memhp.machines.linux.policy import read_command_line
from memhp.machines.linux.root import Root
from memhp.model.boot_inputs import BootInputs
from memhp.model.firmware import USABLE, Affinity, Dimm, Firmware, MapEntry
from memhp.model.profile import PROFILES, Profile, profile_of

_ZERO_PAGE = "sys/kernel/boot_params/data"
_MEMMAP = "sys/firmware/memmap"
_TABLES = "sys/firmware/acpi/tables"
_E820_COUNT, _E820_TABLE, _E820_ENTRY = 0x1E8, 0x2D0, struct.Struct("<QQI")
_MOST_E820 = 128
_KINDS = {1: USABLE, 2: "reserved", 3: "ACPI data", 4: "ACPI NVS", 5: "unusable"}
_MEMMAP_KINDS = {
    "System RAM": USABLE,
    "ACPI Tables": "ACPI data",
    "ACPI Non-volatile Storage": "ACPI NVS",
}
_NEWEST = PROFILES["6.12"]


def read_boot_inputs(root: Root) -> BootInputs:
    """Read all of it; raises ``MachineError`` and ``AcpiTableError``."""
    iomem = read_iomem(root)
    zero_page = root.read_if_there(_ZERO_PAGE) or b""
    memory_map = tuple(_zero_page_map(zero_page)) or tuple(_memmap(root))
    if not any(entry.kind == USABLE for entry in memory_map):
        raise MachineError(
            machine=root.name,
            problem=f"has no memory map in {root.path(_ZERO_PAGE)} or {root.path(_MEMMAP)}",
            advice="a saved tree needs one of them",
        )
    block_size_bytes = read_block_size(root)
    devices = read_devices(root, block_size_bytes, iomem)
    profile, notes = _profile(root)
    hypervisor = _has_hypervisor(root)
    firmware = Firmware(
        memory_map=memory_map,
        affinities=_affinities(root),
        cpu_nodes=_cpu_nodes(root),
        kernel_image=tuple(_kernel_image(iomem)),
        ramdisk=tuple(_ramdisk(zero_page)),
        dimms=tuple(_dimms(devices)),
        distances=_distances(root),
        hypervisor=bool(hypervisor),
    )
    text = read_command_line(root)
    return BootInputs(
        firmware=firmware,
        profile=profile,
        line=parse_command_line(text, memmap_force=profile.memmap_force),
        block_size_bytes=block_size_bytes if hypervisor is None else None,
        notes=(*notes, *_doubts(root, firmware)),
    )


def _zero_page_map(zero_page: bytes) -> Iterator[MapEntry]:
    count = zero_page[_E820_COUNT] if len(zero_page) > _E820_COUNT else 0
    end = _E820_TABLE + count * _E820_ENTRY.size
    if not 0 < count < _MOST_E820 or len(zero_page) < end:
        return
    for start, size, kind in _E820_ENTRY.iter_unpack(zero_page[_E820_TABLE:end]):
        if size:
            name = _KINDS.get(kind, f"type {kind}")
            yield MapEntry(range=PhysRange.at(start, size), kind=name)


def _memmap(root: Root) -> Iterator[MapEntry]:
    for name in sorted(root.names(_MEMMAP), key=lambda name: (len(name), name)):
        start, end = (_number(root, f"{_MEMMAP}/{name}/{edge}") for edge in ("start", "end"))
        kind = root.text_if_there(f"{_MEMMAP}/{name}/type") or ""
        if start is not None and end is not None and start <= end:
            mapped = _MEMMAP_KINDS.get(kind, "reserved")
            yield MapEntry(range=PhysRange.inclusive(start, end), kind=mapped)


def _number(root: Root, relative: str) -> int | None:
    try:
        return int(root.text_if_there(relative) or "", 16)
    except ValueError:
        return None


def _kernel_image(iomem: tuple[IomemEntry, ...]) -> Iterator[PhysRange]:
    return (entry.range for entry in iomem if entry.name.startswith("Kernel "))


def _ramdisk(zero_page: bytes) -> Iterator[PhysRange]:
    """``ramdisk_image`` and ``ramdisk_size``, each with its upper half."""
    if len(zero_page) < _E820_TABLE:
        return
    start, size = struct.unpack_from("<II", zero_page, 0x218)
    start_high, size_high = struct.unpack_from("<II", zero_page, 0xC0)
    start, size = start | start_high << 32, size | size_high << 32
    if start and size:
        yield PhysRange.at(start, size)


def _srat(root: Root) -> Srat | None:
    data = root.read_if_there(f"{_TABLES}/SRAT")
    return None if data is None else parse_srat(data)


def _affinities(root: Root) -> tuple[Affinity, ...]:
    srat = _srat(root)
    if srat is None:
        return ()
    return affinities_of(srat)


def affinities_of(srat: Srat) -> tuple[Affinity, ...]:
    """The enabled memory entries of an SRAT, with Linux's nodes for the domains."""
    nodes = node_of_domain(srat)
    return tuple(
        Affinity(
            range=PhysRange.at(entry.start, entry.size_bytes),
            node=nodes[entry.domain],
            hotpluggable=entry.hotpluggable,
        )
        for entry in srat.memory
        if entry.size_bytes
    )


def _cpu_nodes(root: Root) -> tuple[NodeId, ...]:
    return tuple(node.node for node in read_nodes(root) if node.has_cpu) or (NodeId(0),)


def _distances(root: Root) -> tuple[tuple[int, ...], ...]:
    data = root.read_if_there(f"{_TABLES}/SLIT")
    return () if data is None else parse_slit(data).distances


def _dimms(devices: tuple[Device, ...]) -> Iterator[Dimm]:
    for device in devices:
        if device.kind is DeviceKind.DIMM and device.ranges:
            yield Dimm(
                name=device.name,
                size_bytes=device.size_bytes,
                node=device.node or NodeId(0),
                start=device.ranges[0].start,
            )


def _profile(root: Root) -> tuple[Profile, tuple[str, ...]]:
    """The kernel's own profile, or the newest with a note."""
    release = (root.text_if_there("proc/sys/kernel/osrelease") or "").strip()
    found = profile_of(release)
    if found is not None:
        return found, ()
    what = f"kernel {release}" if release else "a kernel of unknown release"
    return _NEWEST, (f"{what} is modelled as {_NEWEST.name}, the newest that was recorded",)


def _has_hypervisor(root: Root) -> bool | None:
    """Whether the processors have the hypervisor bit; ``None`` where that cannot be known."""
    text = root.text_if_there("proc/cpuinfo")
    if not text:
        return None
    return any("hypervisor" in line.split() for line in text.splitlines() if "flags" in line[:5])


def _doubts(root: Root, firmware: Firmware) -> Iterator[str]:
    if not firmware.affinities:
        yield f"there is no {root.path(f'{_TABLES}/SRAT')}: all memory counts as node 0"
    if not firmware.kernel_image:
        yield "where the kernel lies is not known (/proc/iomem shows it to root alone)"
    elif any(entry.hotpluggable for entry in firmware.affinities):
        yield "where the kernel lies may change with every boot (nokaslr keeps it in place)"
