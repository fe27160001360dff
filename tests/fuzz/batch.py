"""The process that tries inputs: each under a bound of time, all under one of memory."""

import contextlib
import gc
import mmap
import os
import resource
import signal
import struct
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import FrameType, TracebackType
from typing import Final

from hypothesis import HealthCheck, Phase, given, seed, settings

from fuzz.shrinking import shrink
from fuzz.target import MOST_BYTES, Attempt, Failure, Target
from memhp.core.errors import MemhpError

_COUNTS: Final = struct.Struct("<QQQ")
SCRATCH_BYTES: Final = _COUNTS.size + 2 * MOST_BYTES
_WAITING: Final = 4
"""Time that passes, for each second of processor time that an input may take."""
_MOST_BUGS: Final = 20
_LONGEST_SENTENCE: Final = 20_000
_INVENTED: Final = 0.2
"""The share of inputs that are made from nothing."""
BOMBS: Final = (
    *(b"", b"\0", b"\n", b"\xff\xfe\x00"),
    *(b'"\\ud800"', b"9" * 5000, b"-" * 5000, b"1e999", b"null"),
    *(b"[" * 100_000, b'{"a":' * 100_000, b"[0x" + b"f" * 5000 + b"]", b"a = " + b"[" * 100_000),
    *(b",".join([b"0-999999"] * 3000), b" " * 100_000, b"\0" * 100_000, b"x" * 100_000),
    *(b"\n" * 100_000, b'"' * 99_999, *(b"[" * n + b"]" * n for n in range(300, 1000, 20))),
)  # fmt: skip
"""What has felled parsers before; every target is given each once."""


class TooSlow(BaseException):
    """An input took longer than it may. No code under test catches it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """How much to try: inputs, or seconds where they are given; and from which chance.

    ``own_bytes`` is what the fuzzer itself may take beside what a target may.
    """

    inputs: int
    seconds: float | None
    seed: int
    shrink_seconds: float
    own_bytes: int = 0


class Scratch:
    """Memory shared with the process that watches: counts, and the input under way."""

    def __init__(self) -> None:
        self._map = mmap.mmap(-1, SCRATCH_BYTES)

    def note(self, tried: int, accepted: int, data: bytes) -> None:
        """Say what is about to be tried."""
        kept = data[: 2 * MOST_BYTES]
        _COUNTS.pack_into(self._map, 0, tried, accepted, len(kept))
        self._map[_COUNTS.size : _COUNTS.size + len(kept)] = kept

    def read(self) -> tuple[int, int, bytes]:
        """How many were tried and accepted, and the last input."""
        tried, accepted, size = _COUNTS.unpack_from(self._map)
        return tried, accepted, self._map[_COUNTS.size : _COUNTS.size + size]


class Batch:
    """Tries inputs of one target and tells each bug once."""

    def __init__(
        self,
        target: Target,
        attempt: Attempt,
        scratch: Scratch,
        tell: Callable[[Failure | None], None],
        *,
        shrink_seconds: float,
        stop: Callable[[], None],
    ) -> None:
        self._target = target
        self._attempt = attempt
        self._scratch = scratch
        self._tell = tell
        self._shrink_seconds = shrink_seconds
        self.stop = stop
        self._known: set[tuple[str, str]] = set()
        self._ways: set[str] = set()
        self._told_at = 0.0
        self.tried = self._accepted = 0

    @property
    def full(self) -> bool:
        return len(self._known) >= _MOST_BUGS

    def attempt(self, data: bytes) -> bool:
        """Try one; whether it came to an end that none had come to before."""
        self.tried += 1
        self._scratch.note(self.tried, self._accepted, data)
        failure, way = self._judged(data)
        if failure is None:
            self._accepted += way == ""
        elif (failure.kind, failure.place) not in self._known:
            self._known.add((failure.kind, failure.place))
            self._tell(self._shrunk(failure))
        self._alive()
        new = way not in self._ways
        self._ways.add(way)
        self._scratch.note(self.tried, self._accepted, data)
        return new and failure is None

    def _judged(self, data: bytes) -> tuple[Failure | None, str]:
        """The bug, if it is one; and how it ended: where it was refused, or nothing."""
        try:
            with within(self._target.seconds):
                self._attempt(data)
        except KeyboardInterrupt:
            raise
        except self._target.allowed as error:
            if is_a_sentence(error):
                return None, place_of(error.__traceback__)
            return _failure("NoSentence", error, data), "!"
        except BaseException as fault:
            return _failure(type(fault).__name__, fault, data), "!"
        return None, ""

    def _shrunk(self, failure: Failure) -> Failure:
        def fails(data: bytes) -> bool:
            self._alive()
            found, _ = self._judged(data)
            return found is not None and (found.kind, found.place) == (failure.kind, failure.place)

        smaller = self._target.shape.smaller
        data = shrink(failure.data, fails, smaller, self._shrink_seconds)
        return self._judged(data)[0] or failure

    def _alive(self) -> None:
        if time.monotonic() > self._told_at + 1:
            self._told_at = time.monotonic()
            self._tell(None)


def own_inputs(batch: Batch, target: Target, amount: Amount) -> None:
    """Try seeds and bombs, what Hypothesis makes from nothing, and what comes of changing seeds."""
    end = None if amount.seconds is None else time.monotonic() + amount.seconds
    pool = list(target.seeds())
    for data in (*pool, *BOMBS):
        batch.attempt(data)
    invented = int(amount.inputs * _INVENTED)
    chance = Random(amount.seed)
    while True:
        if target.invent is not None:
            _invent(batch, target, invented, chance.getrandbits(64))
        for _ in range(amount.inputs - (invented if target.invent is not None else 0)):
            data = target.shape.mutate(chance.choice(pool), chance)
            if batch.attempt(data) and len(data) < MOST_BYTES // 4:
                pool.append(data)
            if batch.full or (end is not None and time.monotonic() > end):
                return
        if end is None:
            return


def _invent(batch: Batch, target: Target, count: int, chance: int) -> None:
    assert target.invent is not None

    @seed(chance)
    @settings(
        max_examples=max(1, count),
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(target.invent)
    def attempt(data: bytes) -> None:
        batch.attempt(data)

    attempt()


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    """Raise ``TooSlow`` in what takes longer: processor time, or much longer doing nothing."""

    def ring(_signal: int, _frame: FrameType | None) -> None:
        raise TooSlow

    signal.signal(signal.SIGPROF, ring)
    signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_PROF, seconds, seconds)
    signal.setitimer(signal.ITIMER_REAL, seconds * _WAITING, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)


def bound_memory(more_bytes: int) -> None:
    """Let this process have so much more address space than it has now."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * os.sysconf("SC_PAGE_SIZE") + more_bytes
    resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def is_a_sentence(error: BaseException) -> bool:
    """Whether an error of ours is told in one line that a person can read."""
    text = str(error) if isinstance(error, MemhpError) else ""
    return text.isprintable() and len(text) < _LONGEST_SENTENCE


def place_of(trace: TracebackType | None) -> str:
    """The innermost line of memhp's own in a traceback."""
    places = [
        f"{Path(frame.filename).name}:{frame.lineno}"
        for frame in traceback.extract_tb(trace)
        if "/memhp/" in frame.filename
    ]
    return places[-1] if places else "outside memhp"


def _failure(kind: str, fault: BaseException, data: bytes) -> Failure:
    # Where an input was when its time or memory had run out is mere chance.
    exhausted = isinstance(fault, TooSlow | MemoryError)
    if exhausted:
        # What filled the memory is still held by the frames, and telling takes some too.
        traceback.clear_frames(fault.__traceback__)
        gc.collect()
    place = "anywhere" if exhausted else place_of(fault.__traceback__)
    told = "".join(traceback.format_exception(fault, limit=-12))[-4000:]
    return Failure(kind=kind, place=place, told=told, data=data)
