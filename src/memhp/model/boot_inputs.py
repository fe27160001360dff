"""What a kernel boots from: hardware, firmware, and the kernel itself."""

from dataclasses import dataclass, field, replace

from memhp.core.command_line import CommandLine, parse_command_line
from memhp.core.errors import CannotPlan
from memhp.core.geometry import MIB, NodeId
from memhp.core.targets import format_size
from memhp.model.boot import boot
from memhp.model.bring_up import bring_up_devices
from memhp.model.firmware import Affinity, Firmware
from memhp.model.kernel import Kernel, Proposals
from memhp.model.memblock import usable_ranges
from memhp.model.profile import Profile
from memhp.model.workload import Workload

LEAST_MEMORY = 64 * MIB
"""Less than any kernel boots with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BootInputs:
    """All that decides what a machine looks like when it has booted.

    ``block_size_bytes`` is ``None`` where the kernel's rule decides. ``notes``
    are what a person should know of where the inputs are from. ``workload`` is what
    the machine's description lets run once it has booted; ``boot()`` does not.
    """

    firmware: Firmware
    profile: Profile
    line: CommandLine
    proposals: Proposals = field(default_factory=Proposals)
    block_size_bytes: int | None = None
    notes: tuple[str, ...] = ()
    workload: Workload | None = None

    def with_command_line(self, text: str) -> "BootInputs":
        """The same with another command line."""
        line = parse_command_line(text, memmap_force=self.profile.memmap_force)
        return replace(self, line=line)

    def with_profile(self, profile: Profile) -> "BootInputs":
        """The same with another kernel, which reads the command line anew."""
        return replace(self, profile=profile).with_command_line(self.line.text)

    def with_affinities(self, affinities: tuple[Affinity, ...]) -> "BootInputs":
        """The same with another SRAT."""
        return replace(self, firmware=replace(self.firmware, affinities=affinities))

    def with_hotpluggable(self, nodes: frozenset[NodeId]) -> "BootInputs":
        """The same with the SRAT's hot-pluggable bit set for these nodes and clear for others."""
        return self.with_affinities(
            tuple(
                replace(entry, hotpluggable=entry.node in nodes)
                for entry in self.firmware.affinities
            )
        )

    def boot(self) -> Kernel:
        """Boot, and bring up the devices that are there.

        Raises ``CannotPlan`` where no kernel could boot for want of memory.
        """
        self._check_memory()
        kernel = boot(
            self.firmware,
            self.line,
            self.profile,
            block_size_bytes=self.block_size_bytes,
            proposals=self.proposals,
        )
        bring_up_devices(kernel)
        return kernel

    def _check_memory(self) -> None:
        """Where kernel and initrd would lie is the boot loader's business; how much is not."""
        usable = sum(part.size_bytes for part in usable_ranges(self.firmware, self.line))
        if usable < LEAST_MEMORY:
            raise CannotPlan(
                request=f"boot with '{self.line.text}'",
                problem="it leaves too little memory",
                advice=f"a kernel needs {format_size(LEAST_MEMORY)}",
            )


def inputs_of(kernel: Kernel) -> BootInputs:
    """What a modelled kernel was booted from."""
    return BootInputs(
        firmware=kernel.firmware,
        profile=kernel.profile,
        line=kernel.line,
        proposals=kernel.proposals,
        block_size_bytes=kernel.block_size_bytes,
    )
