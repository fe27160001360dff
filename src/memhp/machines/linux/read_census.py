"""Counting pages from ``/proc/kpageflags``: several readers, and one that counts.

The kernel works out each word when it is read, which is where the time goes:
so several threads read at once, and numpy is loaded meanwhile. Memory stays
flat: a fixed number of buffers goes round.
"""

import errno
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Final, NamedTuple

from memhp.core.census import BlockCensus, PageKind
from memhp.core.errors import MachineError
from memhp.core.geometry import BlockId
from memhp.machines.linux.root import Root

if TYPE_CHECKING:  # numpy loads slowly, and meanwhile pages are read
    from memhp.machines.linux.count_words import Numbers, Runs

KPAGEFLAGS: Final = "proc/kpageflags"
WORD_BYTES: Final = 8
_PIECE_PAGES: Final = 1 << 15
_MOST_READERS: Final = 8
_BUFFERS_PER_READER: Final = 12


class Piece(NamedTuple):
    """Consecutive frames of one block that are read at once."""

    block: BlockId
    first_pfn: int
    nr_pages: int
    begins_block: bool


class _Filled(NamedTuple):
    piece: Piece
    buffer: bytearray
    nr_bytes: int


_ToDo = SimpleQueue[Piece | None]
_Empty = SimpleQueue[bytearray | None]
_Done = SimpleQueue[_Filled | OSError]
See = Callable[[Piece, "Runs"], None]
"""Is shown each piece as it is counted."""


def can_count(root: Root) -> bool:
    """Whether this user may read what is counted."""
    return os.access(root.path(KPAGEFLAGS), os.R_OK)


def read_census(
    root: Root, blocks: Sequence[BlockId], pages_per_block: int, see: See | None = None
) -> Mapping[BlockId, BlockCensus]:
    """Count the pages of blocks that are online; raises ``MachineError``."""
    piece_pages = min(_PIECE_PAGES, pages_per_block)
    pieces = [
        Piece(block, block * pages_per_block + start, piece_pages, start == 0)
        for block in blocks
        for start in range(0, pages_per_block, piece_pages)
    ]
    with opened(root, KPAGEFLAGS) as descriptor:
        counts = _counted(root, descriptor, pieces, see)
    return {block: BlockCensus(block=block, pages=counts.get(block, {})) for block in blocks}


@contextmanager
def opened(root: Root, relative: str) -> Iterator[int]:
    """Open one of the files that show a word for each page; raises ``MachineError``."""
    try:
        descriptor = os.open(root.path(relative), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as err:
        raise _cannot_open(root, relative, err) from err
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _cannot_open(root: Root, relative: str, err: OSError) -> MachineError:
    path = root.path(relative)
    if err.errno in {errno.EACCES, errno.EPERM}:
        return MachineError(
            machine=root.name,
            problem=f"shows its pages ({path}) to root alone",
            advice="run it as root; inside a container even root may be kept out",
        )
    if err.errno in {errno.ENOENT, errno.ENOTDIR}:
        return MachineError(
            machine=root.name,
            problem=f"has no {path}",
            advice="its kernel was built without CONFIG_PROC_PAGE_MONITOR, or the tree was "
            "saved without this file",
        )
    return root.unreadable(relative, err)


def _counted(
    root: Root, descriptor: int, pieces: Sequence[Piece], see: See | None
) -> dict[BlockId, dict[PageKind, int]]:
    """Count every piece, whichever reader brings it."""
    nr_readers = min(_MOST_READERS, len(os.sched_getaffinity(0)), len(pieces))
    to_do, empty, done = _queues(pieces, nr_readers)
    readers = [
        Thread(target=_read, args=(descriptor, to_do, empty, done)) for _ in range(nr_readers)
    ]
    for reader in readers:
        reader.start()
    try:
        return _count(root, len(pieces), empty, done, see)
    finally:
        for _ in readers:
            empty.put(None)
        for reader in readers:
            reader.join()


def _queues(pieces: Sequence[Piece], nr_readers: int) -> tuple[_ToDo, _Empty, _Done]:
    to_do: _ToDo = SimpleQueue()
    empty: _Empty = SimpleQueue()
    for piece in (*pieces, *[None] * nr_readers):
        to_do.put(piece)
    largest = max((piece.nr_pages for piece in pieces), default=0)
    for _ in range(min(len(pieces), nr_readers * _BUFFERS_PER_READER)):
        empty.put(bytearray(largest * WORD_BYTES))
    return to_do, empty, SimpleQueue()


def _read(descriptor: int, to_do: _ToDo, empty: _Empty, done: _Done) -> None:
    """Read pieces into empty buffers until there are none of either."""
    while (piece := to_do.get()) is not None and (buffer := empty.get()) is not None:
        try:
            got = read_words(descriptor, piece.first_pfn, piece.nr_pages, buffer)
            done.put(_Filled(piece, buffer, got))
        except OSError as err:
            done.put(err)
            return


def read_words(descriptor: int, first_pfn: int, nr_pages: int, buffer: bytearray) -> int:
    """Read the words of some frames, in as many reads as it takes; gives how many bytes came."""
    wanted, got = nr_pages * WORD_BYTES, 0
    view = memoryview(buffer)
    while got < wanted:
        now = os.preadv(descriptor, [view[got:wanted]], first_pfn * WORD_BYTES + got)
        if now == 0:
            break
        got += now
    return got


def _count(
    root: Root, nr_pieces: int, empty: _Empty, done: _Done, see: See | None
) -> dict[BlockId, dict[PageKind, int]]:
    # It loads slowly, and the readers are at work meanwhile.
    from memhp.machines.linux.count_words import KINDS, WordCounter, words_in  # noqa: PLC0415

    counter = WordCounter()
    sums: dict[BlockId, Numbers] = {}
    for _ in range(nr_pieces):
        filled = done.get()
        if isinstance(filled, OSError):
            raise root.unreadable(KPAGEFLAGS, filled) from filled
        piece = filled.piece
        if filled.nr_bytes < piece.nr_pages * WORD_BYTES:
            raise cut_short(root, piece.block)
        words = words_in(filled.buffer, piece.nr_pages)
        runs = counter.runs(words, begins_block=piece.begins_block)
        empty.put(filled.buffer)
        if see is not None:
            see(piece, runs)
        found = runs.sums()
        sums[piece.block] = sums[piece.block] + found if piece.block in sums else found
    return {
        block: {KINDS[place]: number for place, number in enumerate(found.tolist()) if number}
        for block, found in sums.items()
    }


def cut_short(root: Root, block: BlockId) -> MachineError:
    """The error for pages that are not in the file."""
    return MachineError(
        machine=root.name,
        problem=f"shows no pages of memory{block}: {root.path(KPAGEFLAGS)} ends before it",
        advice="see 'memhp ls' for the blocks, and save the tree anew where it is a saved one",
    )
