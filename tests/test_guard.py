"""The tests run where they cannot change this machine's memory."""

import errno
import os
from pathlib import Path

import pytest

GUARDED = (
    "/sys/devices/system/memory",
    "/sys/devices/system/node",
    "/sys/module",
    "/proc/sys",
)


def mount_options(folder: str) -> set[str] | None:
    """The options of the mount at a folder; ``None`` where nothing is mounted there."""
    for line in reversed(Path("/proc/self/mountinfo").read_text().splitlines()):
        fields = line.split()
        if fields[4] == folder:
            return set(fields[5].split(","))
    return None


def test_the_suite_is_started_through_the_guard() -> None:
    if os.environ.get("MEMHP_REQUIRE_KERNEL") == "1":
        # "variable": root in a container that may make no mount namespace.
        assert os.environ.get("MEMHP_GUARDED") in {"namespace", "unprivileged", "variable"}
    assert os.environ["MEMHP_NO_LIVE_WRITES"] == "1"


@pytest.mark.skipif(
    os.environ.get("MEMHP_GUARDED") != "namespace",
    reason="not root, or not started by 'make test': there is no private mount namespace",
)
@pytest.mark.parametrize("folder", GUARDED)
def test_the_files_that_could_do_it_are_read_only(folder: str) -> None:
    if not Path(folder).is_dir():
        pytest.skip(f"this machine has no {folder}")
    options = mount_options(folder)
    assert options is not None
    assert "ro" in options


@pytest.mark.skipif(
    os.environ.get("MEMHP_GUARDED") != "namespace",
    reason="not root, or not started by 'make test': there is no private mount namespace",
)
def test_a_state_file_cannot_even_be_opened_for_writing() -> None:
    file = Path("/sys/devices/system/memory/auto_online_blocks")
    if not file.exists():
        pytest.skip("this machine has no memory hotplug in sysfs")
    # Opening writes nothing; only where the mount is read-only is even that tried.
    options = mount_options("/sys/devices/system/memory")
    assert options is not None
    assert "ro" in options
    with pytest.raises(OSError, match="Read-only") as refused:
        os.close(os.open(file, os.O_WRONLY))
    assert refused.value.errno == errno.EROFS
