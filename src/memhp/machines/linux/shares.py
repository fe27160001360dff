"""Reading shared out to several processes, where there is enough of it.

Threads would not do: the interpreter's lock is taken again after every system
call. A forked process has all that it needs, and sends back what it found.
"""

import marshal
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeVar

_SHARE = 4096
"""Blocks that are worth a process of their own."""
_MOST_PROCESSES = 4

T = TypeVar("T")
Read = Callable[[Sequence[int]], list[T]]


def shared_out(read: Read[T], numbers: Sequence[int]) -> list[T]:
    """Read with several processes where that is worth it; this one takes the first share.

    What is found for the shares comes in their order, one list; it has to be
    plain values (``marshal``). What another process could not read or send,
    this one reads after all.
    """
    processors = len(os.sched_getaffinity(0))
    processes = min(processors, _MOST_PROCESSES, max(1, len(numbers) // _SHARE))
    step = max(1, -(-len(numbers) // processes))
    shares = [numbers[start : start + step] for start in range(0, len(numbers), step)]
    others = [_Reader(read, share) for share in shares[1:]]
    try:
        found = [value for share in shares[:1] for value in read(share)]
    finally:
        rest = [reader.result() for reader in others]
    for share, values in zip(shares[1:], rest, strict=True):
        found += read(share) if values is None else values
    return found


class _Reader[T]:
    """A process that reads a share and sends back what it found."""
