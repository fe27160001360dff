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
from memhp.core.ranges import PhysRange, format_list


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
_SIZE = re.compile(r"0*([0-9]{1,20})([KMGTPE])(?:iB)?", re.IGNORECASE | re.ASCII)
_RUN = r"(?:memory)?[0-9]+(?:-(?:memory)?[0-9]+)?"
_BLOCKS = re.compile(rf"{_RUN}(?:,{_RUN})*")
_BLOCK = re.compile(r"0*([0-9]{1,9})")
_ADDRESSES = re.compile(r"0x([0-9a-f]+)-0x([0-9a-f]+)", re.IGNORECASE | re.ASCII)
_NODE = re.compile(r"node0*([0-9]{1,9})")
_DEVICE = re.compile(r"[A-Za-z][A-Za-z0-9_.:-]*")
_END_OF_BLOCKS = 1 << 25
"""The first block id past the end of any x86-64 address space (52 bits, 128 MiB blocks)."""
_MOST_BLOCKS = 1 << 20
"""More blocks than any machine has: 128 TiB in the smallest."""
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


def format_change(by_bytes: int) -> str:
    """Print a change of size with its sign: ``+1G``, ``-512M``."""
    return f"{'-' if by_bytes < 0 else '+'}{format_size(abs(by_bytes))}"


def _parse_blocks(text: str) -> Blocks:
    runs = [_parse_run(text, part) for part in text.replace("memory", "").split(",")]
    if sum(map(len, runs)) > _MOST_BLOCKS:
        raise ArgumentError(
            text=text, problem="names more blocks than any machine has", advice="name fewer"
        )
    return Blocks(blocks=tuple(BlockId(n) for n in sorted(set().union(*runs))))


def _parse_run(text: str, part: str) -> range:
    first, _, last = part.partition("-")
    ends = [_parse_block(text, digits) for digits in (first, last or first)]
    if ends[1] < ends[0]:
        raise ArgumentError(
            text=text, problem="counts backwards", advice="give the lower block first"
        )
    return range(ends[0], ends[1] + 1)


def _parse_block(text: str, digits: str) -> int:
    match = _BLOCK.fullmatch(digits)
    if match is None or int(match[1]) >= _END_OF_BLOCKS:
        raise ArgumentError(
            text=text,
            problem="is past the end of any machine",
            advice="a bare number is a block; a size needs its unit, as 4G",
        )
    return int(match[1])


def _parse_addresses(text: str, first: int, last: int) -> Addresses:
    if last < first:
        raise ArgumentError(
            text=text, problem="counts backwards", advice="give the lower address first"
        )
    return Addresses(range=PhysRange.inclusive(first, last))
