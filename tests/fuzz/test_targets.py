"""Whatever is parsed: no traceback, no hang, no memory beyond a bound."""

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from fuzz.batch import Amount
from fuzz.run import fuzz, keep
from fuzz.summary import FUZZED, row_of
from fuzz.target import Target
from fuzz.targets import TARGETS

FOUND = Path(__file__).parents[2] / ".fuzz" / "found"


@pytest.fixture(scope="session")
def seed() -> int:
    """The same for ever where ``CI`` is set, else another each time."""
    return 0 if os.environ.get("CI") else random.SystemRandom().getrandbits(32)


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS.keys())
def test_an_input_is_read_or_refused(
    target: Target, seed: int, record_property: Callable[[str, object], None]
) -> None:
    amount = Amount(inputs=target.inputs, seconds=None, seed=seed, shrink_seconds=10)
    result = fuzz(target, amount)
    record_property(FUZZED, row_of(result))
    wrong = [
        f"{failure.kind} at {failure.place}, seed {seed}: {keep(FOUND, target.name, failure)}"
        for failure in result.failures
    ]
    assert wrong == []
    assert result.tried >= target.inputs
    assert result.accepted > 0
