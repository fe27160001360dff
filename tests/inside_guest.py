"""memhp at work inside a guest, on the guest's own memory: ``linux:`` as root on a real kernel."""

from collections.abc import Iterator
from contextlib import contextmanager

from lab_guests import guest_of
from memhp.core.geometry import GIB, MIB, NodeId
from memhp.core.guest_shape import BootDimm, GuestShape
from memhp.machines.lab.initrd import HOST
from memhp.machines.lab.inside import Inside


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
