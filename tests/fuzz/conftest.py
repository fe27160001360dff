"""Prints how many inputs were tried, whatever came of them."""

import pytest

from fuzz.summary import FUZZED, table
from told import told


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    rows = told(terminalreporter, FUZZED)
    if rows:
        terminalreporter.section("fuzzing")
        for line in table(rows):
            terminalreporter.write_line(line)
