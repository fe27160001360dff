"""Which errno a shell's complaint names."""

import pytest

from memhp.machines.qemu.shell_errors import errno_name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("sh: write error: Device or resource busy", "EBUSY"),
        ("sh: write error: Invalid argument", "EINVAL"),
        ("sh: write error: No such device", "ENODEV"),
        ("sh: write error: No such device or address", "ENXIO"),
        ("sh: can't create /x/y: Permission denied", "EACCES"),
        ("sh: can't create /x/y: nonexistent directory", "ENOENT"),
        ("sh: write error: Operation not permitted", "EPERM"),
        ("sh: write error: Memory page has hardware error", "EHWPOISON"),
        ("sh: write error: Unknown error 4095", "errno 4095"),
        ("sh: write error: gibberish", "EIO"),
        ("", "EIO"),
    ],
)
def test_errno(text: str, name: str) -> None:
    assert errno_name(text) == name
