"""What a run of the tests tells of its fuzzing."""

from fuzz.target import Result

FUZZED = "fuzzed"
"""The property of a test's report that has a row."""
Row = tuple[str, int, int, int, int]
"""A target, and how many inputs were tried, read, refused and wrong."""


def row_of(result: Result) -> Row:
    """What came of one target, in words that go from one process to another."""
    wrong = len(result.failures)
    return result.target, result.tried, result.accepted, result.refused, wrong


def table(rows: list[Row]) -> list[str]:
    """A line for each target, and one for all."""
    lines = [
        f"{target:<36}{tried:>9,} tried{read:>9,} read{refused:>9,} refused{wrong:>5,} wrong"
        for target, tried, read, refused, wrong in sorted(rows)
    ]
    total = sum(tried for _, tried, *_ in rows)
    return [*lines, f"{f'{len(rows)} targets':<36}{total:>9,} inputs tried"]
