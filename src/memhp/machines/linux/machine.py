"""A Linux machine behind the door that every machine has: this host, a saved tree, a model."""

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from memhp.core.census import BlockCensus
from memhp.core.errors import NotSupported
from memhp.core.geometry import BlockId
from memhp.core.limits import Limits
from memhp.core.listing import BlockFile, Listing
from memhp.core.machine import Tell
from memhp.core.outcome import Outcome
from memhp.core.plan import OfflineBlock, Step
from memhp.core.snapshot import Snapshot, Want
from memhp.core.words import Ability
from memhp.machines.linux.apply import apply_logical
from memhp.machines.linux.list_blocks import list_blocks
from memhp.machines.linux.lister import open_root
from memhp.machines.linux.live_write import GRACE, Watch, write_live
from memhp.machines.linux.pressure import read_pressure
from memhp.machines.linux.rivals import read_rivals
from memhp.machines.linux.root import Root
from memhp.machines.linux.sight import sight_of, wait_for_blocks_on_their_way
from memhp.machines.linux.take_snapshot import identity_of, take_snapshot
from memhp.machines.linux.watched_write import watched

if TYPE_CHECKING:  # the model is needed by what boots it alone
    from memhp.model.boot_inputs import BootInputs

_LIVE_ABILITIES = frozenset({Ability.ONLINE, Ability.OFFLINE})


class LinuxMachine:
    """The running host, a mounted model, or a saved tree, which can only be looked at."""

    def __init__(self, root: Root, limits: Limits | None = None) -> None:
        self._root = root
        self._limits = limits or Limits()
        self.name = root.name
        self.address = root.name if root.is_live else f"linux:{os.path.abspath(root.folder)}"
        self.can = _LIVE_ABILITIES if root.is_writable else frozenset[Ability]()

    @property
    def lasts(self) -> bool:
        """What is done to the host or a mounted model lasts; a saved tree stays as it is."""
        return self._root.is_writable

    @property
    def identity(self) -> str:
        """The machine's id and that of its boot; a saved tree is what it was saved from.

        That of a mounted model is the model's.
        """
        return identity_of(self._root)

    def snapshot(self, want: Want = Want.ALL) -> Snapshot:
        """Read the parts asked for, and no others; raises ``MachineError``."""
        return take_snapshot(self._root, name=self.name, identity=self.identity, want=want)

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

    def cautions(self) -> tuple[str, ...]:
        """Who else brings memory online here, and what cannot be measured."""
        if not self._root.is_writable:
            return ()
        rivals = read_rivals(self._root)
        told = []
        if rivals:
            told.append(f"memory that comes is brought online by others too: {', '.join(rivals)}")
        if self._root.mounted is None and read_pressure(self._root) is None:
            told.append("this kernel does not measure memory pressure (PSI), so there is no brake")
        return tuple(told)

    def settle(self) -> tuple[str, ...]:
        """Wait a moment for blocks that the kernel is about to put back.

        Where memhp was killed in the midst of a write, the kernel is told with
        it and needs a little to give up; what it holds on to stays as it is.
        """
        if self._root.is_writable:
            wait_for_blocks_on_their_way(self._root, GRACE)
        return ()

    def bounded(self, limits: Limits) -> "LinuxMachine":
        """The same machine, with other limits for what is done to it."""
        return LinuxMachine(self._root, limits)

    def apply(self, step: Step, *, until: float | None, tell: Tell) -> Outcome:
        """Carry out one step of the logical phase and read back what came of it.

        Raises ``NotSupported`` for the physical phase, for a saved tree, and for
        this host while ``MEMHP_NO_LIVE_WRITES`` is set.
        """
        if not isinstance(step.action, OfflineBlock) or not self._root.is_writable:
            return self._write(step, until, None)
        sight = sight_of(self._root, step.action.block)
        return watched(
            step, lambda watch: self._write(step, until, watch), sight, self._limits, tell
        )

    def _write(self, step: Step, until: float | None, watch: Watch | None) -> Outcome:
        return apply_logical(
            step,
            machine=self.name,
            read=self._root.text_if_there,
            write=lambda relative, word: write_live(self._root, relative, word, until, watch),
        )


def open_linux(rest: str) -> LinuxMachine:
    """Open what follows ``linux:``; empty means this host. Raises ``NoSuchMachine``."""
    return LinuxMachine(open_root(rest))
