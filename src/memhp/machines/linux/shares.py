"""Reading shared out to several processes, where there is enough of it.

Threads would not do: the interpreter's lock is taken again after every system
call. A forked process has all that it needs, and sends back bytes.
"""

import marshal
import os
from collections.abc import Callable, Sequence

_SHARE = 4096
"""Blocks that are worth a process of their own."""
_MOST_PROCESSES = 4

Column = list[bytes | None]
"""What one file reads, block by block; ``None`` where it cannot be read."""


def shared_out(read: Callable[[Sequence[int]], Column], numbers: Sequence[int]) -> Column:
    """Read with several processes where that is worth it; this one takes the first share.

    ``read`` gives as many values as it is given numbers. What a process that
    dies has not read, this one reads after all.
    """
    processors = len(os.sched_getaffinity(0))
    processes = min(processors, _MOST_PROCESSES, max(1, len(numbers) // _SHARE))
    step = -(-len(numbers) // processes) if numbers else 1
    shares = [numbers[start : start + step] for start in range(0, len(numbers), step)] or [[]]
    others = [_Reader(read, share) for share in shares[1:]]
    try:
        column = read(shares[0])
    finally:
        rest = [reader.result() for reader in others]
    for share, found in zip(shares[1:], rest, strict=True):
        column += read(share) if found is None else found
    return column


class _Reader:
    """A process that reads a share and sends back what it found."""

    def __init__(self, read: Callable[[Sequence[int]], Column], share: Sequence[int]) -> None:
        self._receive, send = os.pipe()
        self._pid = os.fork()
        if self._pid:
            os.close(send)
            return
        code = 1
        try:
            with open(send, "wb") as out:
                marshal.dump(read(share), out)
            code = 0
        finally:
            os._exit(code)

    def result(self) -> Column | None:
        """What it read; ``None`` where it died, and somebody else has to read it."""
        with open(self._receive, "rb") as source:
            data = source.read()
        _, status = os.waitpid(self._pid, 0)
        if status != 0:
            return None
        column: Column = marshal.loads(data)
        return column
