"""Where a run of the tests keeps what its fuzzing tried."""

import pytest

from fuzz.target import Result

RESULTS = pytest.StashKey[list[Result]]()


def table(results: list[Result]) -> list[str]:
    """A line for each target, and one for all."""
    lines = [
        f"{result.target:<36}{result.tried:>9,} tried{result.accepted:>9,} read"
        f"{result.refused:>9,} refused{len(result.failures):>5,} wrong"
        for result in results
    ]
    total = sum(result.tried for result in results)
    return [*lines, f"{f'{len(results)} targets':<36}{total:>9,} inputs tried"]
