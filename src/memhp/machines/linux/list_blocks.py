"""Listing the blocks of a Linux machine fast: a few system calls for each, and no more.

A large machine has 131,072 blocks with half a dozen files each, so what counts
here is the number of system calls. Only what is asked for is read; the node
comes from the nodes' own folders; many blocks are shared out to as many
processes as there are processors.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence

from memhp.core.errors import MachineError
from memhp.core.listing import BlockFile, BlockRun, Listing
from memhp.machines.linux.block_nodes import first_node_of_blocks
from memhp.machines.linux.known_node import nodes_matter
from memhp.machines.linux.read_files import BlockPath, FileRun, NeedsNode, folded, read_files
from memhp.machines.linux.root import MEMORY, Root

_FIRMWARE = "sys/firmware/memory"
_FILES = {
    BlockFile.STATE: (MEMORY, "state"),
    BlockFile.REMOVABLE: (MEMORY, "removable"),
    BlockFile.ZONES: (MEMORY, "valid_zones"),
    BlockFile.CONFIGURED: (_FIRMWARE, "config"),
    BlockFile.MEMMAP_ON_MEMORY: (_FIRMWARE, "memmap_on_memory"),
}
_ONE = re.compile(rb"\s*\+?0*1(?!\d)")
_MOST_ZONES = 8


def list_blocks(root: Root, want: BlockFile) -> Listing:
    """Read the wanted files of every block; raises ``MachineError``.

    As ``lsmem`` does: nodes count where the first block has one, zones where
    ``memory0`` has the file, and a file that cannot be read is as one that
    says nothing. So are the zones of a block that has no node yet.
    """
    block_size_bytes = read_block_size(root)
    numbers = _numbers(root)
    paths = {file: path for file in BlockFile if file in want for path in _path(root, file)}
    files = tuple(paths)
    needs = _needs_node(root, files)
    runs: Sequence[FileRun] = read_files(root, tuple(paths.values()), numbers, needs)
    nodes = first_node_of_blocks(root, numbers) if BlockFile.NODE in want else None
    return Listing(
        block_size_bytes=block_size_bytes,
        runs=[
            _run(part, dict(zip(files, part[2], strict=True)), node)
            for part, node in _by_node(folded(runs), nodes)
        ],
    )


def read_block_size(root: Root) -> int:
    """The size of a memory block in bytes; raises ``MachineError``."""
    relative = f"{MEMORY}/block_size_bytes"
    found = root.read_if_there(relative)
    if found is None:
        raise MachineError(
            machine=root.name,
            problem=f"does not support memory blocks: there is no {root.path(relative)}",
            advice="a container may hide it; a kernel without memory hotplug has none",
        )
    try:
        size = int(found, 16)
    except ValueError:
        size = 0
    if size <= 0:
        raise MachineError(
            machine=root.name,
            problem=f"says in {root.path(relative)} that a block has {found[:40]!r} bytes",
            advice="a hexadecimal number was expected",
        )
    return size


def _numbers(root: Root) -> list[int]:
    """The numbers of all blocks, ascending; raises ``MachineError`` where there is none."""
    numbers = sorted(
        int(name[6:])
        for name in root.names(MEMORY)
        if name.startswith("memory") and name[6:].isdecimal() and name.isascii()
    )
    if not numbers:
        raise MachineError(
            machine=root.name,
            problem=f"has no memory block in {root.path(MEMORY)}",
            advice="a container may hide them",
        )
    return numbers


def _path(root: Root, file: BlockFile) -> Iterator[BlockPath]:
    """Where a file of each block lies; nothing where the machine does not have it."""
    if file is BlockFile.NODE:
        return
    folder, name = _FILES[file]
    told_by = f"{MEMORY}/memory0/{name}" if file is BlockFile.ZONES else folder
    if os.path.exists(root.path(told_by)):
        yield BlockPath(folder, name)


def _needs_node(root: Root, files: Sequence[BlockFile]) -> NeedsNode | None:
    """A block that is just coming has no node, and shall not be asked for its zones."""
    if BlockFile.ZONES not in files or not nodes_matter(root):
        return None
    # The state comes before the zones, in both.
    state = files.index(BlockFile.STATE) if BlockFile.STATE in files else None
    return NeedsNode(files.index(BlockFile.ZONES), state)


def _by_node(
    runs: Iterator[FileRun], nodes: Mapping[int, int] | None
) -> Iterator[tuple[FileRun, int | None]]:
    """Part runs where the node changes."""
    for run in runs:
        first, count, texts = run
        if nodes is None:
            yield run, None
            continue
        end = first + count
        node = nodes[first]
        for number in range(first + 1, end):
            if nodes[number] != node:
                yield (first, number - first, texts), node
                first, node = number, nodes[number]
        yield (first, end - first, texts), node


def _run(part: FileRun, read: Mapping[BlockFile, bytes | None], node: int | None) -> BlockRun:
    first, count, _ = part
    zones = _words(read[BlockFile.ZONES]) if BlockFile.ZONES in read else None
    return BlockRun(
        first=first,
        nr_blocks=count,
        state=_text(read[BlockFile.STATE]) if BlockFile.STATE in read else None,
        removable=_is_one(read, BlockFile.REMOVABLE),
        node=node,
        zones=zones,
        configured=_is_one(read, BlockFile.CONFIGURED),
        memmap_on_memory=_is_one(read, BlockFile.MEMMAP_ON_MEMORY),
    )


def _text(value: bytes | None) -> str:
    """As C reads it: a NUL ends a text."""
    text, _, _ = (value or b"").removesuffix(b"\n").partition(b"\0")
    return text.decode("utf-8", "replace")


def _words(value: bytes | None) -> tuple[str, ...]:
    """The zones; ``lsmem`` knows blanks only, and reads no more than there can be."""
    return tuple(word for word in _text(value).split(" ") if word)[:_MOST_ZONES]


def _is_one(read: Mapping[BlockFile, bytes | None], file: BlockFile) -> bool | None:
    return bool(_ONE.match(read[file] or b"")) if file in read else None
