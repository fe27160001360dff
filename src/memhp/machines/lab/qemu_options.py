"""QEMU's command line for a guest: nodes, memory devices, sockets, kernel."""

from collections.abc import Iterator
from pathlib import Path

from memhp.core.geometry import GIB, MIB, round_up
from memhp.core.guest_shape import GuestShape
from memhp.machines.lab.accelerator import Accel
from memhp.machines.lab.initrd import ROOT_TAG

AGENT_SOCKET = "qga"
_SLOTS = 32
_ROOM = 24 * GIB
"""Addresses for memory that comes later, beside what the guest boots with."""


def qemu_options(
    folder: Path, kernel: Path, shape: GuestShape, accel: Accel = Accel.TCG
) -> Iterator[str]:
    """The arguments behind ``qemu-system-x86_64``; memory is only reserved when used."""
    yield from ("-accel", accel, "-cpu", "max", "-nodefaults", "-display", "none", "-no-reboot")
    boot = sum(shape.nodes)
    most = round_up(boot, GIB) + _ROOM
    yield from ("-m", f"{boot // MIB}M,slots={_SLOTS},maxmem={most // MIB}M", "-smp", "1")
    yield from _nodes(shape)
    yield from _devices(shape)
    if shape.agent:
        yield from _agent_port(folder)
    if shape.shares_root:
        yield from _shared_root()
    yield from ("-chardev", f"socket,id=con,path={folder}/con,server=on,wait=off")
    yield from ("-serial", "chardev:con", "-qmp", f"unix:{folder}/qmp,server=on,wait=off")
    yield from ("-kernel", str(kernel), "-initrd", f"{folder}/initrd", "-append")
    yield f"console=ttyS0 panic=-1 quiet {shape.command_line}".strip()
    yield from ("-pidfile", f"{folder}/pid")


def _nodes(shape: GuestShape) -> Iterator[str]:
    for node, size in enumerate(shape.nodes):
        cpus = ",cpus=0" if node == 0 else ""
        memory = f",memdev=node{node}" if size else ""
        if size:
            yield from ("-object", _backend(f"node{node}", size))
        yield from ("-numa", f"node,nodeid={node}{memory}{cpus}")


def _devices(shape: GuestShape) -> Iterator[str]:
    for index, dimm in enumerate(shape.dimms):
        name = f"b{index}"
        yield from ("-object", _backend(f"{name}-memory", dimm.size_bytes))
        yield from ("-device", f"pc-dimm,id={name},memdev={name}-memory,node={dimm.node}")
    for index, device in enumerate(shape.virtio_mem):
        name = f"vm{index}"
        unit = f",block-size={device.block_bytes}" if device.block_bytes else ""
        yield from ("-object", _backend(f"{name}-memory", device.size_bytes))
        yield "-device"
        yield (
            f"virtio-mem-pci,id={name},memdev={name}-memory,node={device.node},requested-size=0"
            f"{unit}"
        )


def _agent_port(folder: Path) -> Iterator[str]:
    yield from ("-device", "virtio-serial-pci", "-chardev")
    yield f"socket,id=qga,path={folder}/{AGENT_SOCKET},server=on,wait=off"
    yield from ("-device", "virtserialport,chardev=qga,name=org.qemu.guest_agent.0")


def _shared_root() -> Iterator[str]:
    """The host's root, to read; its mounts keep inode numbers apart (``multidevs``)."""
    yield "-virtfs"
    yield (f"local,path=/,mount_tag={ROOT_TAG},security_model=none,readonly=on,multidevs=remap")


def _backend(name: str, size_bytes: int) -> str:
    return f"memory-backend-ram,id={name},size={size_bytes},reserve=off"
