"""What is fuzzed: how bytes become an input, the call, and what it may raise."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from memhp.core.errors import MemhpError

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

Attempt = Callable[[bytes], object]
"""Takes one input to its end; returns anything, or raises what the target allows."""
MOST_BYTES = 1 << 18
"""No input is longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What inputs are made of: how one becomes another, and which are a little smaller."""

    mutate: Callable[[bytes, Random], bytes]
    smaller: Callable[[bytes], Iterator[bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One thing that is parsed.

    ``prepare`` is given an empty folder and makes the call; ``seeds`` are valid
    inputs; ``invent`` makes inputs from nothing. ``inputs`` is how many a run
    of the tests tries. One input may take ``seconds`` of processor time and all
    together ``memory_bytes`` of address space. What is not ``allowed`` and
    comes out all the same is a bug.
    """

    name: str
    prepare: Callable[[Path], Attempt]
    seeds: Callable[[], Sequence[bytes]]
    shape: Shape
    inputs: int
    invent: "SearchStrategy[bytes] | None" = None
    allowed: tuple[type[BaseException], ...] = (MemhpError,)
    seconds: float = 5.0
    memory_bytes: int = 256 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An input that ends in what is not allowed; ``kind`` and ``place`` tell bugs apart."""

    kind: str
    place: str
    told: str
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of fuzzing one target: inputs tried, read without an error, and refused."""

    target: str
    tried: int
    accepted: int
    failures: tuple[Failure, ...]

    @property
    def refused(self) -> int:
        return self.tried - self.accepted - len(self.failures)
