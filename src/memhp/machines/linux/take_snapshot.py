"""A Linux machine's files as a snapshot; only what is asked for is read."""

from memhp.core.snapshot import Policy, Room, Snapshot, Want
from memhp.core.surroundings import Surroundings
from memhp.machines.linux.blocks import read_blocks
from memhp.machines.linux.devices import read_devices
from memhp.machines.linux.iomem import read_iomem
from memhp.machines.linux.list_blocks import read_block_size
from memhp.machines.linux.meminfo import read_available
from memhp.machines.linux.nodes import read_nodes
from memhp.machines.linux.policy import read_command_line, read_policy
from memhp.machines.linux.root import Root
from memhp.machines.linux.zones import read_zones

_BOOT_ID = "proc/sys/kernel/random/boot_id"
_MACHINE_ID = "etc/machine-id"


def identity_of(root: Root) -> str:
    """The machine's id and that of its boot; a tree that has neither is known by its place.

    A mounted model's is the model's own, by which its journals are known.
    """
    if root.mounted is not None:
        return root.mounted.identity
    parts = [(root.text_if_there(path) or "").strip() for path in (_MACHINE_ID, _BOOT_ID)]
    if not any(parts):
        return f"saved:{root.folder}:"
    return f"{'linux' if root.is_live else 'saved'}:{':'.join(part or 'unknown' for part in parts)}"


def _surroundings(root: Root, want: Want) -> Surroundings:
    if not want & (Want.SURROUNDINGS | Want.HUGE_POOLS):
        return Surroundings()
    from memhp.machines.linux.surroundings import (  # noqa: PLC0415 - seldom
        read_huge_pools,
        read_surroundings,
    )

    if Want.SURROUNDINGS in want:
        return read_surroundings(root)
    return Surroundings(huge_pools=tuple(read_huge_pools(root)))


def _room(root: Root) -> Room:
    """What a machine can do without; of a model nobody knows how much is in use."""
    return Room(available_bytes=read_available(root)) if root.mounted is None else Room()


def take_snapshot(root: Root, *, name: str, identity: str, want: Want) -> Snapshot:
    """Read the parts asked for, and no others; raises ``MachineError``."""
    block_size_bytes = read_block_size(root)
    iomem = read_iomem(root) if want & (Want.IOMEM | Want.DEVICES) else ()
    devices = read_devices(root, block_size_bytes, iomem) if Want.DEVICES in want else ()
    owners = {
        number: device.name
        for device in devices
        for part in device.ranges
        for number in part.blocks_touched(block_size_bytes)
    }
    command_line = read_command_line(root) if Want.POLICY in want else ""
    return Snapshot(
        machine=name,
        identity=identity,
        want=want,
        block_size_bytes=block_size_bytes,
        blocks=read_blocks(root, owners) if Want.BLOCKS in want else (),
        zones=read_zones(root) if Want.ZONES in want else (),
        nodes=read_nodes(root) if Want.NODES in want else (),
        devices=devices,
        iomem=iomem if Want.IOMEM in want else (),
        command_line=command_line,
        room=_room(root) if Want.ROOM in want else Room(),
        policy=read_policy(root, command_line) if Want.POLICY in want else Policy(),
        surroundings=_surroundings(root, want),
    )
