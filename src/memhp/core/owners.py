"""Who holds the pages of memory blocks, as far as a machine can tell."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, runtime_checkable

from memhp.core.census import BlockCensus
from memhp.core.geometry import BlockId


class OwnerKind(StrEnum):
    """What sort of owner it is. The same page may count for one of each."""

    PROCESS = "process"
    CGROUP = "cgroup"
    ALLOCATION = "allocation"
    """A place in the kernel that allocated pages (``page_owner``)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """One owner and how many pages it has in the blocks; ``pid`` is a process's."""

    kind: OwnerKind
    name: str
    nr_pages: int
    pid: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Owners:
    """The owners, most pages first, and in sentences what could not be known."""

    owners: tuple[Owner, ...]
    notes: tuple[str, ...] = ()


@runtime_checkable
class KnowsMore(Protocol):
    """A machine that can say more of a census than its figures."""

    def census_notes(self, counted: Collection[BlockCensus]) -> tuple[str, ...]:
        """What else is known about pages that the census cannot tell, in sentences."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedTwice:
    """A census after a second look, and in sentences what that look changed."""

    counted: Mapping[BlockId, BlockCensus]
    notes: tuple[str, ...] = ()


@runtime_checkable
class LooksTwice(Protocol):
    """A machine that can look again, a moment later, at pages which it could not tell."""

    def census_twice(self, blocks: Sequence[BlockId]) -> CountedTwice:
        """Count the pages of blocks, the doubtful ones twice; raises as ``census()`` does."""


@runtime_checkable
class ShowsOwners(Protocol):
    """A machine that can say who holds pages."""

    def owners(self, blocks: Sequence[BlockId]) -> Owners:
        """Who holds pages of blocks, as far as can be seen; raises ``MachineError``."""
