"""What a host has promised its guests."""

import os

import pytest

from memhp.core.geometry import GIB, MIB
from memhp.machines.qemu.host import read_budget
from memhp.machines.qemu.start_memory import memory_at_start

DIMM = (
    *("-object", "memory-backend-ram,id=b0,size=256M,reserve=off"),
    *("-device", "pc-dimm,id=d0,memdev=b0,node=0"),
)
VIRTIO = (
    *("-object", "memory-backend-ram,id=v0,size=4G"),
    *("-device", "virtio-mem-pci,id=vm0,memdev=v0,node=0,requested-size=512M"),
)
OF_A_NODE = ("-object", "memory-backend-ram,id=m0,size=1G", "-numa", "node,memdev=m0")
JSON_DIMM = (
    *("-object", '{"qom-type":"memory-backend-memfd","id":"memdimm0","size":134217728}'),
    *("-device", '{"driver":"pc-dimm","node":0,"memdev":"memdimm0","id":"dimm0","slot":0}'),
)


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
        (["qemu", "-m", "1G", *DIMM, *VIRTIO, *OF_A_NODE], GIB + 256 * MIB + 512 * MIB),
        (["qemu", "-m", "size=1048576k", *JSON_DIMM], GIB + 128 * MIB),
        (["qemu", "-m", "1G", "-object", "{no", "-device", "{}", "-device", "pc-dimm"], GIB),
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
