"""The ACPI compiler, where it is installed."""

import os
import shutil
from pathlib import Path

import pytest

from acpi_compiler import Iasl


@pytest.fixture(scope="session")
def iasl(tmp_path_factory: pytest.TempPathFactory) -> Iasl:
    """ACPI's compiler, to check our tables against; skips where there is none."""
    if shutil.which("iasl") is None:
        reason = "iasl is not installed (package acpica-tools): tables are not checked against it"
        if os.environ.get("MEMHP_REQUIRE_KERNEL") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    folder: Path = tmp_path_factory.mktemp("iasl")
    return Iasl(folder)
