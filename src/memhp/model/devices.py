"""The state of memory devices: DIMMs behind ACPI, and virtio-mem."""

from dataclasses import dataclass, field

from memhp.core.geometry import NodeId
from memhp.core.ranges import PhysRange


@dataclass(slots=True, kw_only=True)
class DimmSlot:
    """A DIMM behind an ACPI memory device (``PNP0C80``).

    ``present``: the firmware says that it is there. ``enabled``: the kernel
    took its memory. ``group`` is its memory group while it is enabled.
    ``answers_after``, ``waits``: how long the guest is silent when it is asked
    for an eject, and how long yet (``silence.py``); ``verdict`` is its last no.
    """

    name: str
    index: int
    size_bytes: int
    node: NodeId
    start: int | None = None
    present: bool = False
    enabled: bool = False
    group: int | None = None
    answers_after: int = 0
    waits: int | None = None
    verdict: str | None = None

    @property
    def acpi_name(self) -> str:
        """The name under ``/sys/bus/acpi/devices``."""
        return f"PNP0C80:{self.index:02x}"

    @property
    def range(self) -> PhysRange:
        """Its addresses, once it has some."""
        if self.start is None:
            raise ValueError(f"{self.name} has no address yet")
        return PhysRange.at(self.start, self.size_bytes)


@dataclass(slots=True, kw_only=True)
class VirtioMemDevice:
    """A virtio-mem device as its driver sees it.

    ``plugged`` holds a bit a sub-block for every Linux block that the driver
    ever used, by block number; ``next_block`` is the first that it never used.
    What state a block is in follows from the block itself. ``held`` has a bit for
    each sub-block, by block number, in which something cannot move. ``working`` is
    set while the driver serves a request, ``retry`` when it should go on.
    ``answers_after`` and ``waits`` are as for a DIMM, and about another size.
    """

    name: str
    index: int
    region: PhysRange
    node: NodeId
    sub_block_bytes: int
    big_block_bytes: int
    next_block: int
    requested_bytes: int = 0
    group: int | None = None
    plugged: dict[int, int] = field(default_factory=dict)
    held: dict[int, int] = field(default_factory=dict)
    working: bool = False
    retry: bool = False
    answers_after: int = 0
    waits: int | None = None

    @property
    def unit_bytes(self) -> int:
        """The unit in which it gives memory: a sub-block, or where it is larger a big block."""
        in_parts = self.sub_block_bytes < self.big_block_bytes
        return self.sub_block_bytes if in_parts else self.big_block_bytes

    @property
    def plugged_bytes(self) -> int:
        """What the device reports as its size."""
        return sum(bits.bit_count() for bits in self.plugged.values()) * self.sub_block_bytes
