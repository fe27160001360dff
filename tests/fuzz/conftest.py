"""Prints how many inputs were tried, whatever came of them."""

import pytest

from fuzz.summary import RESULTS, table


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    results = terminalreporter.config.stash.get(RESULTS, [])
    if results:
        terminalreporter.section("fuzzing")
        for line in table(results):
            terminalreporter.write_line(line)
