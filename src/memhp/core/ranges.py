"""Half-open ranges of physical addresses."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from memhp.core.geometry import BlockId, round_down, round_up

_RUN = re.compile(r"([0-9]{1,6})(?:-([0-9]{1,6}))?")
"""A kernel counts its CPUs and nodes in thousands; a damaged file must not ask for all memory."""
_MOST_NUMBERS = 1 << 17


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class PhysRange:
    """``[start, end)`` in bytes of physical address space; never empty."""

    start: int
    end: int

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end:
            raise ValueError(f"no range: [{self.start:#x}, {self.end:#x})")

    @classmethod
    def at(cls, start: int, size_bytes: int) -> "PhysRange":
        """Build the range of ``size_bytes`` that begins at ``start``."""
        return cls(start=start, end=start + size_bytes)

    @classmethod
    def inclusive(cls, first: int, last: int) -> "PhysRange":
        """Build a range from its first and last byte, as ``/proc/iomem`` prints it."""
        return cls(start=first, end=last + 1)

    @property
    def size_bytes(self) -> int:
        return self.end - self.start

    def __contains__(self, address: int) -> bool:
        return self.start <= address < self.end

    def __str__(self) -> str:
        return f"{self.start:#x}-{self.end - 1:#x}"

    def overlaps(self, other: "PhysRange") -> bool:
        """Tell whether the two have a byte in common."""
        return self.start < other.end and other.start < self.end

    def blocks_within(self, block_size_bytes: int) -> range:
        """Name the blocks that lie wholly inside, by number."""
        first = round_up(self.start, block_size_bytes) // block_size_bytes
        return range(first, max(first, self.end // block_size_bytes))

    def blocks_touched(self, block_size_bytes: int) -> range:
        """Name the blocks that have a byte inside, by number."""
        last = round_up(self.end, block_size_bytes) // block_size_bytes
        return range(round_down(self.start, block_size_bytes) // block_size_bytes, last)


def runs_of(numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Fold ascending numbers into ``(first, last)`` runs of neighbours."""
    first = last = None
    for number in numbers:
        if first is None or last is None:
            first = number
        elif number != last + 1:
            yield first, last
            first = number
        last = number
    if first is not None and last is not None:
        yield first, last


def format_list(numbers: Iterable[int]) -> str:
    """Print ascending numbers as the kernel prints lists: ``0-3,8``."""
    return ",".join(
        f"{first}" if first == last else f"{first}-{last}" for first, last in runs_of(numbers)
    )


def parse_list(text: str) -> tuple[int, ...]:
    """Read the kernel's list format (``bitmap_print_to_pagebuf``); empty text is no number.

    Raises ``ValueError`` for anything else.
    """
    numbers: list[int] = []
    for part in text.strip().split(",") if text.strip() else ():
        match = _RUN.fullmatch(part)
        if match is None or int(match[2] or match[1]) < int(match[1]):
            raise ValueError(f"no list of numbers: {text!r}")
        run = range(int(match[1]), int(match[2] or match[1]) + 1)
        if len(numbers) + len(run) > _MOST_NUMBERS:
            raise ValueError("a list of more numbers than any machine has")
        numbers.extend(run)
    return tuple(numbers)


def format_blocks(blocks: Iterable[BlockId]) -> str:
    """Print ascending blocks for a person: ``memory32-39,41``."""
    return "memory" + format_list(blocks)
