"""A Linux machine behind the door that every machine has: this host, or a saved tree.

So far it is only looked at.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from memhp.core.census import BlockCensus
from memhp.core.errors import NotSupported
from memhp.core.geometry import BlockId
from memhp.core.listing import BlockFile, Listing
from memhp.core.machine import Tell
from memhp.core.outcome import Outcome
from memhp.core.plan import Step
from memhp.core.snapshot import Policy, Snapshot, Want
from memhp.core.words import Ability
from memhp.machines.linux.blocks import read_blocks
from memhp.machines.linux.devices import read_devices
from memhp.machines.linux.iomem import read_iomem
from memhp.machines.linux.list_blocks import list_blocks, read_block_size
from memhp.machines.linux.lister import open_root
from memhp.machines.linux.nodes import read_nodes
from memhp.machines.linux.policy import read_command_line, read_policy
from memhp.machines.linux.root import Root
from memhp.machines.linux.zones import read_zones

if TYPE_CHECKING:  # the model is needed by what boots it alone
    from memhp.model.boot_inputs import BootInputs

_BOOT_ID = "proc/sys/kernel/random/boot_id"
_MACHINE_ID = "etc/machine-id"


class LinuxMachine:
    """The running host, or a tree saved from one; it can be looked at and not changed."""

    can: frozenset[Ability] = frozenset()

    def __init__(self, root: Root) -> None:
        self._root = root
        self.name = root.name
        self.address = root.name

    @property
    def lasts(self) -> bool:
        """What is done to the host lasts; nothing can be done to a saved tree."""
        return self._root.is_live

    @property
    def identity(self) -> str:
        """The machine's id and that of its boot; a saved tree is what it was saved from."""
        parts = [self._root.text_if_there(path) or "unknown" for path in (_MACHINE_ID, _BOOT_ID)]
        return f"{'linux' if self._root.is_live else 'saved'}:{':'.join(parts)}"

    def snapshot(self, want: Want = Want.ALL) -> Snapshot:
        """Read the parts asked for, and no others; raises ``MachineError``."""
        root = self._root
        block_size_bytes = read_block_size(root)
        iomem = read_iomem(root) if want & (Want.IOMEM | Want.DEVICES) else ()
        devices = read_devices(root, block_size_bytes, iomem) if Want.DEVICES in want else ()
        owners = {
            number: device.name
            for device in devices
            for part in device.ranges
            for number in part.blocks_touched(block_size_bytes)
        }
        command_line = read_command_line(root) if Want.POLICY in want else ""
        return Snapshot(
            machine=self.name,
            identity=self.identity,
            want=want,
            block_size_bytes=block_size_bytes,
            blocks=read_blocks(root, owners) if Want.BLOCKS in want else (),
            zones=read_zones(root) if Want.ZONES in want else (),
            nodes=read_nodes(root) if Want.NODES in want else (),
            devices=devices,
            iomem=iomem if Want.IOMEM in want else (),
            command_line=command_line,
            policy=read_policy(root, command_line) if Want.POLICY in want else Policy(),
        )

    def boot_inputs(self) -> "BootInputs":
        """What the machine was booted from, for the model; raises ``MachineError``."""
        from memhp.machines.linux.boot_inputs import read_boot_inputs  # noqa: PLC0415

        return read_boot_inputs(self._root)

    def list_blocks(self, want: BlockFile) -> Listing:
        """Read the wanted files of every block; raises ``MachineError``."""
        return list_blocks(self._root, want)

    def census(self, blocks: Sequence[BlockId]) -> Mapping[BlockId, BlockCensus]:  # noqa: ARG002
        """Not yet: raises ``NotSupported``."""
        raise NotSupported(machine=self.name, operation="count pages", advice="a model machine can")

    def apply(self, step: Step, *, until: float | None, tell: Tell) -> Outcome:  # noqa: ARG002
        """Not yet: raises ``NotSupported``, and nothing is written."""
        raise NotSupported(
            machine=self.name, operation=str(step), advice="it is only looked at; try it on a model"
        )


def open_linux(rest: str) -> LinuxMachine:
    """Open what follows ``linux:``; empty means this host. Raises ``NoSuchMachine``."""
    return LinuxMachine(open_root(rest))
