"""Inputs chosen by the code that they reach: atheris (libFuzzer), where it is installed."""

import sys
import tempfile
import time
from pathlib import Path
from random import Random
from typing import Final

from fuzz.batch import BOMBS, Amount, Batch
from fuzz.target import MOST_BYTES, Target

_LIBFUZZER: Final = (f"-max_len={MOST_BYTES}", "-timeout=0", "-rss_limit_mb=0", "-verbosity=0")
"""Time and memory are bounded by the batch, which goes on after a bug."""


def guided_inputs(batch: Batch, target: Target, amount: Amount) -> None:
    """Try seeds and bombs, and then change whatever reached code that nothing had reached.

    libFuzzer never gives the process back: the batch ends it in time.
    """
    import atheris

    assert amount.seconds is not None
    end = time.monotonic() + amount.seconds

    def attempt(data: bytes) -> None:
        batch.attempt(data)
        if batch.full or time.monotonic() > end:
            batch.stop()

    def mutate(data: bytes, most_bytes: int, seed: int) -> bytes:
        return target.shape.mutate(data, Random(seed))[:most_bytes]

    corpus = Path(tempfile.mkdtemp(dir="."))
    for place, data in enumerate((*target.seeds(), *BOMBS)):
        (corpus / str(place)).write_bytes(data)
    words = [sys.argv[0], str(corpus), f"-seed={amount.seed or 1}", *_LIBFUZZER]
    atheris.Setup(words, attempt, custom_mutator=mutate)
    atheris.Fuzz()
