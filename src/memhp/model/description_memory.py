"""Nodes of a described machine, and where their memory lies.

Amounts are laid out as a PC does it: what fits below the hole under 4 GiB, the
rest from 4 GiB on, node after node. Holes for the BIOS and its tables are cut
where a PC has them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from memhp.core.geometry import GIB, KIB, MIB, NodeId
from memhp.core.ranges import PhysRange
from memhp.core.targets import format_size
from memhp.model.description_table import LAST_ADDRESS, Table
from memhp.model.firmware import USABLE, Affinity, MapEntry
from memhp.model.runs import RangeSet

NODE_KEYS: Final = ("memory", "ranges", "cpus", "hotpluggable", "mirrored")
_MOST_NODES = 64
"""Model: Debian's kernels take 1,024; booting here costs their square."""
_MOST_RANGES = 128
_FOUR_GIB: Final = 4 * GIB
_STEP: Final = 2 * MIB
_LOW_MEMORY = 3 * GIB
_LEAST_LOW_MEMORY = 256 * MIB
_MOST_LOW_MEMORY = 3840 * MIB
_TABLES_BYTES = 128 * KIB
_BIOS_DATA = PhysRange(start=0x9FC00, end=0xA0000)
_VIDEO_AND_BIOS = PhysRange(start=0xA0000, end=0x100000)
_BIOS = PhysRange(start=0xF0000, end=0x100000)
_FLASH = PhysRange(start=0xFFFC0000, end=_FOUR_GIB)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeMemory:
    """A node as described, with the addresses of the memory it has at boot.

    ``table`` is where a fault is pointed at; ``mirrored_bytes`` count from the
    node's first address.
    """

    node: NodeId
    table: Table
    cpus: int
    hotpluggable: bool
    mirrored_bytes: int
    size_bytes: int
    ranges: tuple[PhysRange, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BootMemory:
    """All nodes, and the firmware's map of the memory that is there at boot."""

    nodes: tuple[NodeMemory, ...]
    memory_map: tuple[MapEntry, ...]

    @property
    def end(self) -> int:
        """The first address behind all memory of the map."""
        return max((part.end for node in self.nodes for part in node.ranges), default=0)

    def affinities(self) -> tuple[Affinity, ...]:
        """The SRAT's entries for boot memory; what the BIOS keeps below 1 MiB is in none."""
        return tuple(
            Affinity(range=piece, node=node.node, hotpluggable=node.hotpluggable)
            for node in self.nodes
            for part in node.ranges
            for piece in _without(part, _VIDEO_AND_BIOS)
        )


def read_boot_memory(machine: Table) -> BootMemory:
    """Read ``[[node]]`` and lay out what the nodes have; raises ``DescriptionError``."""
    tables = machine.tables("node")
    if not 1 <= len(tables) <= _MOST_NODES:
        raise machine.error(
            "node" if "node" in machine else None,
            f"describes {len(tables)} nodes",
            f"give 1 to {_MOST_NODES} tables [[node]]; the first is node 0",
        )
    nodes = [_read_node(NodeId(number), table) for number, table in enumerate(tables)]
    if not any(node.cpus for node in nodes):
        raise machine.error("node", "has no processor anywhere", "give one of them cpus = 1")
    low_bytes = _low_memory(machine.table("layout"))
    if any(node.ranges for node in nodes):
        return _by_ranges(nodes)
    return _by_amounts(nodes, low_bytes)


def _read_node(number: NodeId, table: Table) -> NodeMemory:
    table.only(NODE_KEYS)
    ranges = table.address_list("ranges") if "ranges" in table else ()
    if ranges and "memory" in table:
        raise table.error("ranges", "stands beside 'memory'", "give one of the two")
    if len(ranges) > _MOST_RANGES:
        raise table.error("ranges", "has too many", f"give {_MOST_RANGES} at most")
    size_bytes = table.size("memory", 0, step=_STEP) or sum(part.size_bytes for part in ranges)
    return NodeMemory(
        node=number,
        table=table,
        cpus=table.count("cpus", 1, least=0, most=8192),
        hotpluggable=table.flag("hotpluggable", default=False),
        mirrored_bytes=_mirrored(table, size_bytes),
        size_bytes=size_bytes,
        ranges=ranges,
    )


def _mirrored(table: Table, size_bytes: int) -> int:
    mirrored_bytes = table.size("mirrored", 0, step=_STEP)
    if mirrored_bytes > size_bytes:
        raise table.error(
            "mirrored",
            f"is {format_size(mirrored_bytes)}",
            f"the node has {format_size(size_bytes)} at boot",
        )
    return mirrored_bytes


def _low_memory(layout: Table) -> int:
    low_bytes = layout.size("low_memory", _LOW_MEMORY, step=_STEP)
    if not _LEAST_LOW_MEMORY <= low_bytes <= _MOST_LOW_MEMORY:
        raise layout.error(
            "low_memory",
            f"is {format_size(low_bytes)}",
            f"give {format_size(_LEAST_LOW_MEMORY)} to {format_size(_MOST_LOW_MEMORY)}: the rest "
            "below 4G belongs to devices",
        )
    return low_bytes


def _by_amounts(nodes: Sequence[NodeMemory], low_bytes: int) -> BootMemory:
    """Lay nodes out one after the other, around the hole below 4 GiB."""
    low_bytes = min(low_bytes, sum(node.size_bytes for node in nodes))
    laid_out = []
    offset = 0
    for node in nodes:
        laid_out.append(
            replace(node, ranges=tuple(_around_hole(offset, node.size_bytes, low_bytes)))
        )
        offset += node.size_bytes
        if offset - low_bytes + _FOUR_GIB > LAST_ADDRESS:
            raise node.table.error(
                "memory", "ends too high", f"x86-64 reaches {format_size(LAST_ADDRESS)} at most"
            )
    tables = []
    if low_bytes:
        tables.append(PhysRange(start=low_bytes - _TABLES_BYTES, end=low_bytes))
    return BootMemory(nodes=tuple(laid_out), memory_map=_memory_map(laid_out, (*tables, _FLASH)))


def _around_hole(offset: int, size_bytes: int, low_bytes: int) -> Iterator[PhysRange]:
    """Turn a stretch of RAM, counted from its beginning, into addresses."""
    end = offset + size_bytes
    if offset < min(end, low_bytes):
        yield PhysRange(start=offset, end=min(end, low_bytes))
    if max(offset, low_bytes) < end:
        start = max(offset, low_bytes) - low_bytes + _FOUR_GIB
        yield PhysRange(start=start, end=end - low_bytes + _FOUR_GIB)


def _by_ranges(nodes: Sequence[NodeMemory]) -> BootMemory:
    """Take the addresses that are given; the BIOS has its own below 1 MiB."""
    taken: list[PhysRange] = []
    for node in nodes:
        if "memory" in node.table:
            raise node.table.error(
                "memory", "stands where other nodes have 'ranges'", "give every node the same one"
            )
        for part in node.ranges:
            other = next((one for one in taken if one.overlaps(part)), None)
            if other is not None:
                raise node.table.error(
                    "ranges", f"{part} overlaps {other}", "give each address once"
                )
            taken.append(part)
    return BootMemory(nodes=tuple(nodes), memory_map=_memory_map(nodes, ()))


def _memory_map(
    nodes: Sequence[NodeMemory], reserved: tuple[PhysRange, ...]
) -> tuple[MapEntry, ...]:
    """The firmware's map: RAM without what the firmware keeps, mirrored parts apart."""
    usable, mirrored = RangeSet(), RangeSet()
    for node in nodes:
        left = node.mirrored_bytes
        for part in sorted(node.ranges):
            usable.add(part.start, part.end)
            mirrored.add(part.start, part.start + min(left, part.size_bytes))
            left -= min(left, part.size_bytes)
    kept = (_BIOS_DATA, _BIOS, *reserved)
    for hole in (_BIOS_DATA, _VIDEO_AND_BIOS, *reserved):
        usable.clear(hole.start, hole.end)
    entries = [MapEntry(range=part, kind="reserved") for part in kept]
    for run in usable:
        entries.extend(_split_mirrored(run.start, run.end, mirrored))
    return tuple(sorted(entries, key=lambda entry: entry.range))


def _split_mirrored(start: int, end: int, mirrored: RangeSet) -> Iterator[MapEntry]:
    at = start
    for run in mirrored.within(start, end):
        if at < run.start:
            yield MapEntry(range=PhysRange(start=at, end=run.start), kind=USABLE)
        yield MapEntry(range=PhysRange(start=run.start, end=run.end), kind=USABLE, mirrored=True)
        at = run.end
    if at < end:
        yield MapEntry(range=PhysRange(start=at, end=end), kind=USABLE)


def _without(part: PhysRange, hole: PhysRange) -> Iterator[PhysRange]:
    below = part.start, min(part.end, hole.start)
    above = max(part.start, hole.end), part.end
    for start, end in (below, above):
        if start < end:
            yield PhysRange(start=start, end=end)
