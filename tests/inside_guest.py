"""memhp at work inside a guest, on the guest's own memory: ``linux:`` as root on a real kernel."""

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab_guests import guest_of
from memhp.core.geometry import GIB, MIB, NodeId
from memhp.core.guest_shape import BootDimm, GuestShape
from memhp.machines.lab.initrd import HOST
from memhp.machines.lab.inside import Inside

POOL = "/sys/devices/system/node/node0/hugepages/hugepages-2048kB"
HOLD_HUGE_PAGES = Path(__file__).with_name("hold_huge_pages.py")


@contextmanager
def inside(kernel: str) -> Iterator[Inside]:
    """A guest of one GiB with a DIMM of 512 MiB, offline; nothing brings it online by itself."""
    shape = GuestShape(
        kernel=kernel,
        nodes=(GIB,),
        dimms=(BootDimm(size_bytes=512 * MIB, node=NodeId(0)),),
        command_line="memhp_default_state=offline",
        shares_root=True,
    )
    with guest_of(shape) as guest:
        here = Inside(guest)
        # What the kernel prints would come in between.
        here.run(f"dmesg -n 1; mkdir -p {HOST}/tmp")
        yield here


@contextmanager
def huge_pages(here: Inside, total: int, used: int) -> Iterator[None]:
    """A pool of huge pages, some of which a process holds until the end."""
    program = f"{shlex.quote(sys.executable)} {shlex.quote(str(HOLD_HUGE_PAGES))}"
    here.run(
        f"echo {total} > {POOL}/nr_hugepages; rm -f {HOST}/tmp/held; "
        f"host {program} {used} /tmp/held & echo $! > /tmp/huge.pid; n=0; "
        f"while [ ! -e {HOST}/tmp/held ] && [ $n -lt 300 ]; do n=$((n + 1)); sleep 0.1; done"
    )
    try:
        yield
    finally:
        here.run("kill -9 $(cat /tmp/huge.pid); wait $(cat /tmp/huge.pid) 2>/dev/null")
        here.run(f"echo 0 > {POOL}/nr_hugepages")


def pool_of(here: Inside) -> tuple[int, ...]:
    """How many huge pages the node has, and how many of them are free, and surplus."""
    files = " ".join(f"{POOL}/{name}_hugepages" for name in ("nr", "free", "surplus"))
    return tuple(map(int, here.run(f"cat {files}")[1].split()))
