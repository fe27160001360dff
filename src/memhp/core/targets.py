"""What a person points at: blocks, addresses, a node, a device, an amount.

The grammar is one for every command::

    memory32  32  32-39  32,35-37     blocks; a bare number is always a block
    4G  512MiB  64KiB                 a size
    0x100000000-0x13fffffff           addresses, both ends included
    node1                             a node
    dimm0  PNP0C80:03  virtio-mem0    a device, by the name the machine gives it
"""

import re
from dataclasses import dataclass

from memhp.core.errors import ArgumentError
from memhp.core.geometry import GIB, KIB, MIB, TIB, BlockId, NodeId
from memhp.core.ranges import PhysRange, format_list, parse_list


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocks:
    """Blocks by number, ascending, each once."""

    blocks: tuple[BlockId, ...]

    def __str__(self) -> str:
        return "memory" + format_list(self.blocks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Every block that has a byte in this range of physical addresses."""

    range: PhysRange

    def __str__(self) -> str:
        return str(self.range)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeTarget:
    """Every block of a node."""

    node: NodeId

    def __str__(self) -> str:
        return f"node{self.node}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceTarget:
    """Every block of a device, or the device itself."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """So many bytes, wherever they are best taken."""

    size_bytes: int

    def __str__(self) -> str:
        return format_size(self.size_bytes)


Target = Blocks | Addresses | NodeTarget | DeviceTarget | Amount

_UNITS = {"K": KIB, "M": MIB, "G": GIB, "T": TIB, "P": 1 << 50, "E": 1 << 60}
_SIZE = re.compile(r"(\d+)([KMGTPE])(?:iB)?", re.IGNORECASE)
_BLOCKS = re.compile(r"(?:memory)?\d+(?:-\d+)?(?:,(?:memory)?\d+(?:-\d+)?)*")
_ADDRESSES = re.compile(r"0x([0-9a-f]+)-0x([0-9a-f]+)", re.IGNORECASE)
_NODE = re.compile(r"node(\d+)")
_DEVICE = re.compile(r"[A-Za-z][A-Za-z0-9_.:-]*")
_LARGEST_BLOCK = 1 << 29
"""Block ids past the end of any x86-64 address space (52 bits, 128 MiB blocks)."""
_GRAMMAR = (
    "give blocks (memory32, 32-39, 32,35), a size (4G, 512MiB), addresses "
    "(0x100000000-0x13fffffff), a node (node1) or a device (dimm0)"
)


def parse_target(text: str) -> Target:
    """Read one argument; raises ``ArgumentError`` for what is not in the grammar."""
    if _BLOCKS.fullmatch(text):
        return _parse_blocks(text)
    if _SIZE.fullmatch(text):
        return Amount(size_bytes=parse_size(text))
    if match := _ADDRESSES.fullmatch(text):
        return _parse_addresses(text, int(match[1], 16), int(match[2], 16))
    if match := _NODE.fullmatch(text):
        return NodeTarget(node=NodeId(int(match[1])))
    if _DEVICE.fullmatch(text):
        return DeviceTarget(name=text)
    raise ArgumentError(text=text, problem="is no target", advice=_GRAMMAR)


def parse_size(text: str) -> int:
    """Read a size with its unit (``4G``, ``512MiB``; powers of 1024) as bytes.

    Raises ``ArgumentError``: a bare number is a block, never a size.
    """
    match = _SIZE.fullmatch(text)
    if match is None or int(match[1]) == 0:
        raise ArgumentError(
            text=text, problem="is no size", advice="give a number with its unit, as 4G or 512MiB"
        )
    return int(match[1]) * _UNITS[match[2].upper()]


def format_size(size_bytes: int) -> str:
    """Print bytes in the largest unit that leaves a whole number: ``1536M``."""
    for unit in "EPTGMK":
        if size_bytes and size_bytes % _UNITS[unit] == 0:
            return f"{size_bytes // _UNITS[unit]}{unit}"
    return f"{size_bytes}B"


def _parse_blocks(text: str) -> Blocks:
    bare = text.replace("memory", "")
    for part in bare.split(","):
        first, _, last = part.partition("-")
        if int(last or first) < int(first):
            raise ArgumentError(
                text=text, problem="counts backwards", advice="give the lower block first"
            )
        if int(last or first) >= _LARGEST_BLOCK:
            raise ArgumentError(
                text=text,
                problem="is past the end of any machine",
                advice="a bare number is a block; a size needs its unit, as 4G",
            )
    return Blocks(blocks=tuple(BlockId(n) for n in sorted(set(parse_list(bare)))))


def _parse_addresses(text: str, first: int, last: int) -> Addresses:
    if last < first:
        raise ArgumentError(
            text=text, problem="counts backwards", advice="give the lower address first"
        )
    return Addresses(range=PhysRange.inclusive(first, last))
