"""Rows of a census: what each is about, and which blocks are alike enough to share one."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from typing import TypeVar

from memhp.core.census import BlockCensus, PageKind, Prospect, total
from memhp.core.geometry import BlockId
from memhp.core.snapshot import MemoryBlock
from memhp.core.words import BlockState

T = TypeVar("T")
_PARTS = 4


class By(StrEnum):
    """What a row is about."""

    BLOCK = "block"
    NODE = "node"
    DEVICE = "device"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Blocks that are shown together, and their pages; none are counted of offline blocks.

    ``node``, ``zone``, ``state`` and ``device`` are ``None`` where the blocks differ or have none.
    """

    blocks: tuple[BlockId, ...]
    node: int | None
    zone: str | None
    state: str | None
    device: str | None
    pages: Mapping[PageKind, int]

    def of(self, prospect: Prospect) -> int:
        """How many pages have this prospect."""
        return sum(number for kind, number in self.pages.items() if kind.prospect is prospect)


def rows_of(
    blocks: Sequence[MemoryBlock],
    counted: Mapping[BlockId, BlockCensus],
    *,
    by: By,
    every: bool,
) -> list[Row]:
    """Put blocks into rows, ascending; ``every`` gives each block its own."""
    if by is not By.BLOCK:
        return [_row(group, counted) for group in _shares(blocks, by)]
    return [_row(group, counted) for group in _neighbours(blocks, counted, every=every)]


def _shares(blocks: Sequence[MemoryBlock], by: By) -> list[list[MemoryBlock]]:
    shares: dict[int | str | None, list[MemoryBlock]] = {}
    for block in blocks:
        shares.setdefault(block.node if by is By.NODE else block.device, []).append(block)
    return list(shares.values())


def _neighbours(
    blocks: Sequence[MemoryBlock], counted: Mapping[BlockId, BlockCensus], *, every: bool
) -> list[list[MemoryBlock]]:
    """Runs of consecutive blocks of which each looks like the one before."""

    def alike(pair: tuple[int, MemoryBlock]) -> Hashable:
        place, block = pair
        if every:
            return block.block
        return block.block - place, _look(block, counted.get(block.block))

    return [[block for _, block in run] for _, run in groupby(enumerate(blocks), alike)]


def _look(block: MemoryBlock, census: BlockCensus | None) -> Hashable:
    """What blocks of one row have in common: shares to a quarter, and what is none."""
    shares: tuple[tuple[int, bool], ...] = ()
    if census is not None and census.nr_pages:
        found = [census.of(prospect) for prospect in Prospect]
        shares = tuple((round(n * _PARTS / census.nr_pages), n == 0) for n in found)
    return block.node, block.zone, block.state, block.device, shares


def _row(blocks: Sequence[MemoryBlock], counted: Mapping[BlockId, BlockCensus]) -> Row:
    return Row(
        blocks=tuple(block.block for block in blocks),
        node=_common([block.node for block in blocks]),
        zone=_common([block.zone for block in blocks]),
        state=_common([block.state for block in blocks]),
        device=_common([block.device for block in blocks]),
        pages=total(
            counted[block.block] for block in blocks if block.state is not BlockState.OFFLINE
        ),
    )


def _common(values: Sequence[T]) -> T | None:
    return values[0] if len(set(values)) == 1 else None
