"""The memory map as a person sees it at one glance: a letter a block, a line a node or device."""

from collections.abc import Iterator, Sequence

from memhp.core.snapshot import MemoryBlock, Snapshot
from memhp.core.words import BlockState, ZoneType

_WIDTH = 64
_LEGEND = "M movable, K kernel zone, ? several zones, - offline, > going offline"


def show_map(snapshot: Snapshot) -> None:
    """Print a letter for each block, by node and by device."""
    for name, blocks in _rows(snapshot):
        print(f"  {name:<14} {_folded([_letter(block) for block in blocks])}")
    print(f"  {'':<14} ({_LEGEND})")


def _rows(snapshot: Snapshot) -> Iterator[tuple[str, list[MemoryBlock]]]:
    nodes = sorted({block.node for block in snapshot.blocks if block.node is not None})
    for node in nodes:
        own = [b for b in snapshot.blocks if b.node == node and b.device is None]
        if own:
            yield f"node{node}", own
    for device in snapshot.devices:
        own = [block for block in snapshot.blocks if block.device == device.name]
        if own or device.size_bytes:
            yield device.name, own


def _letter(block: MemoryBlock) -> str:
    if block.state is BlockState.OFFLINE:
        return "-"
    if block.state is BlockState.GOING_OFFLINE:
        return ">"
    if block.zone is None:
        return "?"
    return "M" if block.zone is ZoneType.MOVABLE else "K"


def _folded(letters: Sequence[str]) -> str:
    """The letters as they are, or runs of them where there are many."""
    if not letters:
        return "not there"
    if len(letters) <= _WIDTH:
        return "".join(letters)
    runs: list[tuple[str, int]] = []
    for letter in letters:
        if runs and runs[-1][0] == letter:
            runs[-1] = (letter, runs[-1][1] + 1)
        else:
            runs.append((letter, 1))
    return " ".join(f"{letter}x{count}" for letter, count in runs)
