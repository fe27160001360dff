"""Small files of every block, in three system calls each, folded into runs while they are read."""

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from memhp.machines.linux.known_node import KnownNode
from memhp.machines.linux.root import Root
from memhp.machines.linux.shares import shared_out

_LONGEST = 256
"""No file of a block is longer; what were longer is no word that anybody knows."""

_ONLINE = b"online\n"

Texts = tuple[bytes | None, ...]
"""What some files of a block read; ``None`` where one cannot be read."""
FileRun = tuple[int, int, Texts]
"""A block's number, how many from there on read the same, and what they read."""


class BlockPath(NamedTuple):
    """A file that every block has: ``memoryN/name`` in a folder of the machine."""

    folder: str
    name: str


class NeedsNode(NamedTuple):
    """Which of the files is read only of blocks that have a node, and which tells their state."""

    file: int
    state: int | None


def read_files(
    root: Root,
    paths: Sequence[BlockPath],
    numbers: Sequence[int],
    needs: NeedsNode | None = None,
) -> list[FileRun]:
    """Read these files of each block; raises ``MachineError`` where a folder cannot be opened.

    Names are looked up from the folder, which spares the kernel the way there.
    """
    places: list[tuple[int, str]] = []
    try:
        places.extend((_open_folder(root, path.folder), f"/{path.name}") for path in paths)
        return shared_out(lambda share: list(folded(_texts(places, share, needs))), numbers)
    finally:
        for folder, _ in places:
            os.close(folder)


def _open_folder(root: Root, relative: str) -> int:
    try:
        return os.open(root.path(relative), os.O_PATH | os.O_DIRECTORY)
    except OSError as err:
        raise root.unreadable(relative, err) from err


def _texts(
    places: Sequence[tuple[int, str]], numbers: Sequence[int], needs: NeedsNode | None
) -> Iterator[FileRun]:
    free = places if needs is None else [*places[: needs.file], *places[needs.file + 1 :]]
    node = None if needs is None else KnownNode(places[needs.file][0])
    for number in numbers:
        block = f"memory{number}"
        texts = [_text(folder, block + suffix) for folder, suffix in free]
        if needs is not None and node is not None:
            is_online = needs.state is not None and texts[needs.state] == _ONLINE
            folder, suffix = places[needs.file]
            may = is_online or node.is_known(block)
            texts.insert(needs.file, _text(folder, block + suffix) if may else None)
        yield number, 1, tuple(texts)


def _text(folder: int, name: str) -> bytes | None:
    try:
        # A FIFO, which a saved tree may hold, is not waited for.
        handle = os.open(name, os.O_RDONLY | os.O_NONBLOCK, dir_fd=folder)
    except OSError:
        return None
    try:
        return os.read(handle, _LONGEST)
    except OSError:
        return None
    finally:
        os.close(handle)


def folded(runs: Iterable[FileRun]) -> Iterator[FileRun]:
    """Join neighbours whose files read the same."""
    first, count = -1, 0
    texts: Texts = ()
    for number, more, here in runs:
        if number == first + count and here == texts:
            count += more
            continue
        if count:
            yield first, count, texts
        first, count, texts = number, more, here
    if count:
        yield first, count, texts
