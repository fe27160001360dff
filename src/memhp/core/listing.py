"""A machine's blocks as a lister wants them: runs of equal ones, in the files' own words.

A snapshot says what blocks are; this says what their files read, the odd
included, and takes no more time than the differences between them.
"""

from collections.abc import Sequence
from enum import Flag, auto
from typing import NamedTuple, Protocol


class BlockFile(Flag):
    """What is to be read of every block."""

    STATE = auto()
    REMOVABLE = auto()
    NODE = auto()
    ZONES = auto()
    CONFIGURED = auto()
    MEMMAP_ON_MEMORY = auto()


class BlockRun(NamedTuple):
    """``nr_blocks`` consecutive blocks whose files read the same.

    What was not asked for, or has no file, is ``None``; ``node`` is -1 for a
    block that belongs to no node.
    """

    first: int
    nr_blocks: int
    state: str | None = None
    removable: bool | None = None
    node: int | None = None
    zones: tuple[str, ...] | None = None
    configured: bool | None = None
    memmap_on_memory: bool | None = None


class Listing(NamedTuple):
    """The blocks in ascending order; what was read of them, run by run."""

    block_size_bytes: int
    runs: Sequence[BlockRun]


class BlockLister(Protocol):
    """A machine that can list its blocks."""

    def list_blocks(self, want: BlockFile) -> Listing:
        """Read the wanted files of every block, and no others; raises ``MachineError``."""
