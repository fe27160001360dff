"""What a guest under QEMU is made of: its nodes, its memory devices, its command line."""

from dataclasses import dataclass

from memhp.core.geometry import NodeId


@dataclass(frozen=True, slots=True, kw_only=True)
class BootDimm:
    """A DIMM that is plugged in when the guest boots."""

    size_bytes: int
    node: NodeId


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtioMemShape:
    """A virtio-mem device, empty at boot. QEMU chooses its block size where none is given."""

    size_bytes: int
    node: NodeId
    block_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestShape:
    """A guest's hardware, and what its kernel is told.

    ``nodes`` has the bytes that each node boots with; a node with 0 gets its
    memory later. ``hotpluggable_nodes`` are those whose boot memory the SRAT
    flags as hot-pluggable. ``kernel`` names a series (``6.12``) or is the path of
    an image. ``agent`` tells whether QEMU's guest agent runs in it,
    ``shares_root`` whether it sees its host's files.
    """

    kernel: str
    nodes: tuple[int, ...]
    command_line: str = ""
    hotpluggable_nodes: tuple[NodeId, ...] = ()
    dimms: tuple[BootDimm, ...] = ()
    virtio_mem: tuple[VirtioMemShape, ...] = ()
    agent: bool = False
    shares_root: bool = False
