"""Reading shared out to several processes, where there is enough of it.

Threads would not do: the interpreter's lock is taken again after every system
call. A forked process has all that it needs, and sends back what it found.
"""

import marshal
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Generic, TypeVar

_SHARE = 4096
"""Blocks that are worth a process of their own."""
_MOST_PROCESSES = 4

T = TypeVar("T")


def shared_out(read: Callable[[Sequence[int]], list[T]], numbers: Sequence[int]) -> list[T]:
    """Read with several processes where that is worth it; this one takes the first share.

    What is found comes as one list, share by share; it has to be made of plain
    values (``marshal``). What another process could not read or send back,
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


class _Reader(Generic[T]):
    """A process that reads a share; there is none where no other may be started."""

    def __init__(self, read: Callable[[Sequence[int]], list[T]], share: Sequence[int]) -> None:
        self._receive, send = os.pipe()
        try:
            self._pid = os.fork()
        except OSError:
            self._pid = -1
        if self._pid == 0:
            _send_and_end(read, share, send)
        os.close(send)

    def result(self) -> list[T] | None:
        """What it read; ``None`` where it died, and somebody else has to read it."""
        with open(self._receive, "rb") as source:
            data = source.read()
        if self._pid > 0:
            # Where SIGCHLD is ignored there is nobody left to wait for.
            with suppress(ChildProcessError):
                os.waitpid(self._pid, 0)
        try:
            found: list[T] = marshal.loads(data)
        except (EOFError, TypeError, ValueError):
            return None
        return found


def _send_and_end(
    read: Callable[[Sequence[int]], list[T]], share: Sequence[int], send: int
) -> None:
    """The other process's whole life; what goes wrong here, the first process meets again."""
    try:
        with open(send, "wb") as out:
            marshal.dump(read(share), out)
    finally:
        os._exit(0)
