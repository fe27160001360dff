"""Listing the blocks of a Linux machine fast: a few system calls for each, and no more.

A large machine has 131,072 blocks with half a dozen files each, so what counts
here is the number of system calls. Only what is asked for is read; the node
comes from the nodes' own folders, which name all their blocks at once; and
many blocks are shared out to as many processes as there are processors.
"""

import os
from collections.abc import Iterator, Sequence

from memhp.core.errors import MachineError
from memhp.core.listing import BlockFile, BlockRun, Listing
from memhp.machines.linux.root import MEMORY, NODES, Root
from memhp.machines.linux.shares import Column, shared_out

_FIRMWARE = "sys/firmware/memory"
_FILES = {
    BlockFile.STATE: "state",
    BlockFile.REMOVABLE: "removable",
    BlockFile.ZONES: "valid_zones",
}
_FIRMWARE_FILES = {BlockFile.CONFIGURED: "config", BlockFile.MEMMAP_ON_MEMORY: "memmap_on_memory"}
_LONGEST = 4096


def list_blocks(root: Root, want: BlockFile) -> Listing:
    """Read the wanted files of every block; raises ``MachineError``.

    As ``lsmem`` does: nodes count where the first block has one, zones where
    ``memory0`` has the file, and a file that cannot be read is as one that
    says nothing.
    """
    block_size_bytes = read_block_size(root)
    numbers = _numbers(root)
    columns = [_column(root, numbers, file) if file in want else None for file in BlockFile]
    return Listing(block_size_bytes=block_size_bytes, runs=list(_runs(numbers, columns)))


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


def _column(root: Root, numbers: Sequence[int], file: BlockFile) -> Column | None:
    """Read one file of every block; ``None`` where the machine does not have it."""
    if file is BlockFile.NODE:
        return _nodes(root, numbers)
    folder, name = MEMORY, _FILES.get(file)
    if name is None:
        folder, name = _FIRMWARE, _FIRMWARE_FILES[file]
        if not os.path.exists(root.path(folder)):
            return None
    if file is BlockFile.ZONES and not os.path.exists(root.path(f"{MEMORY}/memory0/{name}")):
        return None
    prefix = root.path(f"{folder}/memory")
    return shared_out(lambda share: _read_files(prefix, share, f"/{name}"), numbers)


def _read_files(prefix: str, numbers: Sequence[int], suffix: str) -> Column:
    """Read a small file of each block, in three system calls."""
    column: Column = []
    for number in numbers:
        try:
            handle = os.open(f"{prefix}{number}{suffix}", os.O_RDONLY)
        except OSError:
            column.append(None)
            continue
        try:
            column.append(os.read(handle, _LONGEST))
        except OSError:
            column.append(None)
        finally:
            os.close(handle)
    return column


def _nodes(root: Root, numbers: Sequence[int]) -> Column | None:
    """The node of each block as text, ``-1`` where it has none.

    Folders of blocks are looked into only where the nodes' folders do not say
    it, or say two things.
    """
    prefix = root.path(f"{MEMORY}/memory")
    if _first_node(f"{prefix}{numbers[0]}") is None:
        return None
    known: dict[str, bytes | None] = {}
    for node in root.names(NODES):
        if node.startswith("node") and node[4:].isdecimal():
            names = dict.fromkeys(root.names(f"{NODES}/{node}"), node[4:].encode())
            twice = known.keys() & names.keys()
            known |= names | dict.fromkeys(twice)
    column: Column = [known.get(f"memory{number}") for number in numbers]
    open_places = [place for place, node in enumerate(column) if node is None]
    rest = shared_out(
        lambda share: [_first_node(f"{prefix}{number}") or b"-1" for number in share],
        [numbers[place] for place in open_places],
    )
    for place, found in zip(open_places, rest, strict=True):
        column[place] = found
    return column


def nodes_of_blocks(root: Root, numbers: Sequence[int]) -> dict[int, tuple[int, ...]]:
    """All nodes of each block, ascending: boot memory may have several, or none."""
    found: dict[int, list[int]] = {}
    for node in sorted(
        int(name[4:])
        for name in root.names(NODES)
        if name.startswith("node") and name[4:].isdecimal()
    ):
        for name in root.names(f"{NODES}/node{node}"):
            if name.startswith("memory") and name[6:].isdecimal():
                found.setdefault(int(name[6:]), []).append(node)
    for number in numbers:
        if number not in found:
            # A tree may have been saved without the nodes' own folders.
            names = root.names(f"{MEMORY}/memory{number}")
            found[number] = sorted(
                int(name[4:]) for name in names if name.startswith("node") and name[4:].isdecimal()
            )
    return {number: tuple(nodes) for number, nodes in found.items()}


def _first_node(folder: str) -> bytes | None:
    try:
        names = os.listdir(folder)
    except OSError:
        return None
    for name in names:
        if name.startswith("node") and name[4:].isdecimal():
            return name[4:].encode()
    return None


def _runs(numbers: Sequence[int], columns: Sequence[Column | None]) -> Iterator[BlockRun]:
    """Fold neighbours that read the same into runs, and make sense of each run once."""
    read = [column for column in columns if column is not None]
    keys = list(zip(*read, strict=True)) if read else [()] * len(numbers)
    start = 0
    for place in range(1, len(numbers) + 1):
        if (
            place < len(numbers)
            and keys[place] == keys[start]
            and numbers[place] == numbers[place - 1] + 1
        ):
            continue
        values = [None if column is None else column[start] for column in columns]
        there = [column is not None for column in columns]
        yield _run(numbers[start], place - start, values, there)
        start = place


def _run(first: int, count: int, values: Sequence[bytes | None], there: Sequence[bool]) -> BlockRun:
    state, removable, node, zones, configured, memmap = values
    has_state, has_removable, has_node, has_zones, has_config, has_memmap = there
    return BlockRun(
        first=first,
        nr_blocks=count,
        state=_text(state) if has_state else None,
        removable=_is_one(removable) if has_removable else None,
        node=int(node or b"-1") if has_node else None,
        zones=tuple(_text(zones).split()) if has_zones else None,
        configured=_is_one(configured) if has_config else None,
        memmap_on_memory=_is_one(memmap) if has_memmap else None,
    )


def _text(value: bytes | None) -> str:
    return "" if value is None else value.decode("utf-8", "replace").removesuffix("\n")


def _is_one(value: bytes | None) -> bool:
    return value is not None and value.split()[:1] == [b"1"]
