"""What a host has promised its guests."""

import os

import pytest

from memhp.core.geometry import GIB, MIB
from memhp.machines.qemu.host import memory_at_start, read_budget


@pytest.mark.parametrize(
    ("arguments", "size"),
    [
        (["qemu", "-m", "1024M,slots=32,maxmem=25600M"], GIB),
        (["qemu", "-m", "size=2G,slots=4"], 2 * GIB),
        (["qemu", "-m", "512"], 512 * MIB),
        (["qemu", "-m", "2g"], 2 * GIB),
        (["qemu", "-m", "maxmem=4G"], 0),
        (["qemu", "-m"], 0),
        (["qemu"], 0),
    ],
)
def test_what_a_guest_was_given_at_its_start(arguments: list[str], size: int) -> None:
    assert memory_at_start(arguments) == size


def test_the_budget_of_this_host_counts_what_was_promised() -> None:
    less = read_budget(0, os.getpid())
    more = read_budget(1 << 50, os.getpid())
    assert less is not None
    assert more is not None
    assert (less.host, less.total_bytes) == (more.host, more.total_bytes)
    assert 0 < less.promised_bytes < less.total_bytes
    assert more.free_bytes < 0
