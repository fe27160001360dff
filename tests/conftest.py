"""What holds for every test: nothing may change the machine that it runs on."""

import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from told import told

settings.register_profile(
    "memhp", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.register_profile("ci", parent=settings.get_profile("memhp"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "memhp")
# A run in the background, or under nohup, has these ignored, and so would what the tests start
# and then end by them.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGTERM, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    lines = told(terminalreporter, "told")
    if lines:
        terminalreporter.section("told by tests")
        for line in sorted(lines):
            terminalreporter.write_line(line)


@pytest.fixture(autouse=True)
def no_live_writes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Set the guard for each test, whatever the one before it did; keep journals apart."""
    monkeypatch.setenv("MEMHP_STATE_DIR", f"{tmp_path}-journals")
    monkeypatch.setenv("MEMHP_NO_LIVE_WRITES", "1")
    monkeypatch.delenv("MEMHP_MACHINE", raising=False)
