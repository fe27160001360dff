"""What tests tell beside whether they passed: properties of their reports.

They come from whatever process ran the test (``record_property``).
"""

from typing import Any

import pytest


def told(reporter: pytest.TerminalReporter, name: str) -> list[Any]:
    """Everything that was told under a name, in the order of the tests' ends."""
    return [
        value
        for outcome in ("passed", "failed")
        for report in reporter.stats.get(outcome, [])
        for key, value in getattr(report, "user_properties", ())
        if key == name
    ]
