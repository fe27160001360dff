"""A model machine as its TOML file describes it, and the kernel that boots on it.

``docs/machines.md`` is the reference of the format.
"""

import re
from dataclasses import dataclass, fields, replace
from pathlib import PurePath
from typing import Final

from memhp.core.command_line import CommandLine, parse_command_line
from memhp.core.geometry import GIB, MIB, SECTION_SIZE_BYTES, NodeId, bytes_of
from memhp.core.ranges import PhysRange
from memhp.core.targets import format_size
from memhp.model.boot import block_size_for, boot
from memhp.model.bring_up import bring_up_devices
from memhp.model.description_devices import Devices, read_devices
from memhp.model.description_failures import Failure, Ground, read_failures
from memhp.model.description_memory import BootMemory, read_boot_memory
from memhp.model.description_needs import check_amount, check_needs, read_kernel_image
from memhp.model.description_table import Table, read_document
from memhp.model.description_workload import read_workload
from memhp.model.firmware import Firmware
from memhp.model.kernel import Kernel, Proposals
from memhp.model.profile import PROFILES, Profile
from memhp.model.workload import Workload

_DEFAULT_KERNEL: Final = "6.12"
_GUEST_KEYS: Final = (
    "about",
    "kernel",
    "command_line",
    "hypervisor",
    "block_size",
    "node",
    "distances",
    "dimm_slots",
    "dimm",
    "virtio_mem",
    "layout",
    "proposals",
    "failures",
    "workload",
)
_KEYS: Final = ("name", *_GUEST_KEYS, "guests")
_LAYOUT_KEYS: Final = ("low_memory", "kernel_image", "initrd", "hotplug_space")
_PROPOSAL_KEYS: Final = tuple(field.name for field in fields(Proposals))
_MOST_GUESTS = 64
_LARGEST_BLOCK_BYTES = 64 * GIB
_LONGEST_COMMAND_LINE = 2047
"""``COMMAND_LINE_SIZE`` of x86, less the zero byte."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_LOCAL, _UNREACHABLE = 10, 255
"""Distances of the SLIT (ACPI 6.5, 5.2.17): a node to itself, and one out of reach."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """All that makes a model machine, before anything runs on it.

    ``block_size_bytes`` is ``None`` where the kernel's rule decides. Guests
    are machines of their own and have no guests.
    """

    name: str
    about: str
    profile: Profile
    line: CommandLine
    firmware: Firmware
    block_size_bytes: int | None
    proposals: Proposals
    failures: tuple[Failure, ...]
    workload: Workload | None = None
    guests: tuple["Description", ...] = ()


def parse_description(text: str, file: str) -> Description:
    """Read a machine's TOML.

    The machine's name is the file's, unless the text gives one. Raises
    ``DescriptionError``, and nothing else, for whatever is wrong.
    """
    machine = read_document(text, file)
    machine.only(_KEYS)
    stem = PurePath(file).stem
    name = machine.text("name", stem if _NAME.fullmatch(stem) else "machine")
    _check_name(machine, "name", name)
    guests = machine.table("guests").named_tables()
    if len(guests) > _MOST_GUESTS:
        raise machine.error("guests", "has too many", f"give {_MOST_GUESTS} at most")
    return replace(
        _read_machine(machine, name, hypervisor=False),
        guests=tuple(_read_guest(machine, guest_name, guest) for guest_name, guest in guests),
    )


def start(description: Description) -> Kernel:
    """Boot the machine, bring up its devices, let its failures befall it, and run its workload."""
    kernel = boot(
        description.firmware,
        description.line,
        description.profile,
        block_size_bytes=description.block_size_bytes,
        proposals=description.proposals,
    )
    bring_up_devices(kernel)
    for failure in description.failures:
        failure.apply(kernel)
    if description.workload is not None:
        # numpy, which pages need, takes longer to load than most commands to run.
        from memhp.model.pages.run_workload import run_workload  # noqa: PLC0415

        run_workload(kernel, description.workload)
    return kernel


def _read_guest(machine: Table, name: str, guest: Table) -> Description:
    _check_name(machine.table("guests"), name, name)
    guest.only(_GUEST_KEYS)
    return _read_machine(guest, name, hypervisor=True)


def _read_machine(machine: Table, name: str, *, hypervisor: bool) -> Description:
    """Read a machine or a guest; ``hypervisor`` is what it is by default."""
    machine.table("layout").only(_LAYOUT_KEYS)
    profile = PROFILES[machine.word("kernel", PROFILES, _DEFAULT_KERNEL)]
    line = _command_line(machine, profile)
    memory = read_boot_memory(machine)
    check_amount(machine, sum(node.size_bytes for node in memory.nodes))
    firmware = _boot_firmware(machine, memory, hypervisor=hypervisor)
    max_pfn = check_needs(machine, firmware, line)
    own_size_bytes = _block_size(machine)
    used_size_bytes = own_size_bytes or block_size_for(bytes_of(max_pfn), firmware.hypervisor)
    devices = read_devices(machine, memory, used_size_bytes)
    ground = Ground(
        block_size_bytes=used_size_bytes,
        present=_present(memory, devices),
        dimms=devices.dimms,
        devices=devices.names,
    )
    return Description(
        name=name,
        about=machine.text("about", ""),
        profile=profile,
        line=line,
        firmware=_with_devices(firmware, memory, devices),
        block_size_bytes=own_size_bytes,
        proposals=_proposals(machine.table("proposals")),
        failures=read_failures(machine.table("failures"), ground),
        workload=read_workload(machine.table("workload"), len(memory.nodes)),
    )


def _boot_firmware(machine: Table, memory: BootMemory, *, hypervisor: bool) -> Firmware:
    """What the kernel finds at boot, without devices."""
    image, ramdisk = read_kernel_image(machine.table("layout"), memory)
    return Firmware(
        memory_map=memory.memory_map,
        affinities=memory.affinities(),
        cpu_nodes=tuple(node.node for node in memory.nodes if node.cpus),
        cpu_counts=tuple((node.node, node.cpus) for node in memory.nodes if node.cpus > 1),
        kernel_image=image,
        ramdisk=ramdisk,
        distances=_distances(machine, len(memory.nodes)),
        hypervisor=machine.flag("hypervisor", default=hypervisor),
    )


def _with_devices(firmware: Firmware, memory: BootMemory, devices: Devices) -> Firmware:
    """Add the devices and the SRAT's entries for memory that may come."""
    last_node = NodeId(len(memory.nodes) - 1)
    whole = replace(
        firmware,
        affinities=(*firmware.affinities, *devices.affinities(last_node)),
        dimms=devices.dimms,
        nr_slots=devices.nr_slots,
        virtio_mem=devices.virtio_mem,
        hotplug_window=devices.window,
    )
    for node in memory.nodes:
        if node.node not in whole.possible_nodes:
            raise node.table.error(
                None,
                "is a node with nothing in it",
                "give it memory, cpus, or a device whose node it is",
            )
    return whole


def _present(memory: BootMemory, devices: Devices) -> tuple[PhysRange, ...]:
    dimms = [PhysRange.at(d.start or 0, d.size_bytes) for d in devices.dimms if d.present]
    return (*(part for node in memory.nodes for part in node.ranges), *dimms)


def _command_line(machine: Table, profile: Profile) -> CommandLine:
    text = machine.text("command_line", "")
    if not text.isascii() or len(text) > _LONGEST_COMMAND_LINE:
        raise machine.error(
            "command_line", "is none", f"give {_LONGEST_COMMAND_LINE} ASCII characters at most"
        )
    return parse_command_line(text, memmap_force=profile.memmap_force)


def _block_size(machine: Table) -> int | None:
    if "block_size" not in machine:
        return None
    size_bytes = machine.size("block_size", step=MIB)
    power_of_two = size_bytes & (size_bytes - 1) == 0
    if not power_of_two or not SECTION_SIZE_BYTES <= size_bytes <= _LARGEST_BLOCK_BYTES:
        raise machine.error(
            "block_size",
            f"is {format_size(size_bytes)}",
            f"give a power of two from {format_size(SECTION_SIZE_BYTES)} to "
            f"{format_size(_LARGEST_BLOCK_BYTES)}, or leave it to the kernel's rule",
        )
    return size_bytes


def _distances(machine: Table, nr_nodes: int) -> tuple[tuple[int, ...], ...]:
    """The SLIT, judged as ``slit_valid()`` does."""
    if "distances" not in machine:
        return ()
    rows = machine.numbers("distances")
    if len(rows) != nr_nodes or any(len(row) != nr_nodes for row in rows):
        raise machine.error(
            "distances", "does not fit the nodes", f"give {nr_nodes} rows of {nr_nodes} numbers"
        )
    for one, row in enumerate(rows):
        for other, distance in enumerate(row):
            local = one == other
            if (distance == _LOCAL) != local or not _LOCAL <= distance < _UNREACHABLE:
                raise machine.error(
                    "distances",
                    f"has an impossible one from node {one} to node {other}",
                    f"give {_LOCAL} from a node to itself, {_LOCAL + 1} to {_UNREACHABLE - 1} else",
                )
    return rows


def _proposals(table: Table) -> Proposals:
    table.only(_PROPOSAL_KEYS)
    return Proposals(**{key: table.flag(key, default=False) for key in _PROPOSAL_KEYS})


def _check_name(table: Table, key: str, name: str) -> None:
    if not _NAME.fullmatch(name):
        raise table.error(
            key, "is no name of a machine", "give letters, digits and _.-, 64 at most"
        )
