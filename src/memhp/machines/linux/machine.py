"""A Linux machine behind the door that every machine has: this host, a saved tree, a model."""

import os
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from memhp.core.census import BlockCensus
from memhp.core.errors import NotSupported
from memhp.core.geometry import BlockId
from memhp.core.limits import Limits
from memhp.core.listing import BlockFile, Listing
from memhp.core.machine import Tell
from memhp.core.outcome import Outcome
from memhp.core.owners import CountedTwice, Owners
from memhp.core.plan import Action, AddDevice, OfflineBlock, Preparing, RemoveDevice, Step
from memhp.core.snapshot import Snapshot, Want
from memhp.core.words import Ability
from memhp.machines.linux import prepare
from memhp.machines.linux.apply import apply_logical
from memhp.machines.linux.dynamic_debug import DynamicDebug
from memhp.machines.linux.list_blocks import list_blocks
from memhp.machines.linux.lister import open_root
from memhp.machines.linux.live_write import GRACE, Watch, write_live
from memhp.machines.linux.offline_reason import listening
from memhp.machines.linux.physical import apply_physical, lacks_rights, warnings, why_not
from memhp.machines.linux.pressure import read_pressure
from memhp.machines.linux.read_census import can_count
from memhp.machines.linux.rivals import read_rivals
from memhp.machines.linux.root import Root
from memhp.machines.linux.sight import sight_of, wait_for_blocks_on_their_way
from memhp.machines.linux.take_snapshot import identity_of, take_snapshot
from memhp.machines.linux.watched_write import watched

if TYPE_CHECKING:  # needed by what boots a model, or looks into blocks
    from memhp.core.evidence import Evidence
    from memhp.core.ranges import PhysRange
    from memhp.model.boot_inputs import BootInputs

_LIVE_ABILITIES = frozenset(
    {
        Ability.ONLINE,
        Ability.OFFLINE,
        Ability.ADD_DEVICE,
        Ability.REMOVE_DEVICE,
        Ability.COMPACT,
        Ability.DROP_CACHES,
        Ability.HUGEPAGES,
    }
)


class LinuxMachine:
    """The running host, a mounted model, or a saved tree, which can only be looked at."""

    def __init__(self, root: Root, limits: Limits | None = None) -> None:
        self._root = root
        self._limits = limits or Limits()
        self.name = root.name
        self.address = root.name if root.is_live else f"linux:{os.path.abspath(root.folder)}"

    @property
    def can(self) -> frozenset[Ability]:
        """What this user may ask for: pages are counted where they may be read."""
        logical = _LIVE_ABILITIES if self._root.is_writable else frozenset[Ability]()
        return logical | {Ability.CENSUS} if can_count(self._root) else logical

    @property
    def lasts(self) -> bool:
        """What is done to the host or a mounted model lasts; a saved tree stays as it is."""
        return self._root.is_writable

    @property
    def changes_by_itself(self) -> bool:
        """The host does; a mounted model and a saved tree do not."""
        return self._root.is_live

    @property
    def identity(self) -> str:
        """The machine's id and that of its boot; a saved tree is what it was saved from.

        That of a mounted model is the model's.
        """
        return identity_of(self._root)

    @property
    def plugged_by_hand(self) -> bool:
        """Nobody inside a machine can put a device in."""
        return True

    def why_not(self, action: Action) -> str | None:
        """What keeps an action from being done; a saved tree says so itself."""
        if not self._root.is_writable:
            return None
        return why_not(self._root, action) or prepare.why_not(self._root, action)

    def lacks_rights(self, action: Action) -> str | None:
        """Which file this user may not write; a saved tree says so itself."""
        if not self._root.is_writable:
            return None
        return lacks_rights(self._root, action) or prepare.lacks_rights(self._root, action)

    def warnings(self, action: Action) -> tuple[str, ...]:
        """What a person should know before this is done."""
        return warnings(action) + prepare.warnings(action)

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

    def census(self, blocks: Sequence[BlockId]) -> Mapping[BlockId, BlockCensus]:
        """Count what ``/proc/kpageflags`` shows; a block that is not online is all free.

        Raises ``NoSuchObject``, and ``MachineError`` where the file cannot be read.
        """
        from memhp.machines.linux.census import count_blocks  # noqa: PLC0415

        return count_blocks(self._root, blocks)

    def census_twice(self, blocks: Sequence[BlockId]) -> CountedTwice:
        """The same, with a second look at the running host's pages that could not be told."""
        from memhp.machines.linux.census import count_blocks, count_twice  # noqa: PLC0415

        if not self._root.is_live or self._root.mounted is not None:
            return CountedTwice(counted=count_blocks(self._root, blocks))
        return count_twice(self._root, blocks, pause=time.sleep)

    def census_notes(self, counted: Collection[BlockCensus]) -> tuple[str, ...]:
        """What else is known about pages that the census cannot tell, in sentences."""
        from memhp.machines.linux.census_notes import read_notes  # noqa: PLC0415

        return read_notes(self._root, counted)

    def owners(self, blocks: Sequence[BlockId]) -> Owners:
        """Who holds pages of blocks, as far as the kernel shows; raises ``MachineError``."""
        from memhp.machines.linux.owners import read_owners  # noqa: PLC0415

        return read_owners(self._root, blocks)

    def cautions(self) -> tuple[str, ...]:
        """Who else brings memory online here, and what cannot be measured."""
        if not self._root.is_writable:
            return ()
        rivals = read_rivals(self._root)
        told = []
        if rivals:
            told.append(f"memory that comes is brought online by others too: {', '.join(rivals)}")
        told.extend(_unseen_bindings(self._root))
        if self._root.mounted is None and read_pressure(self._root) is None:
            told.append("this kernel does not measure memory pressure (PSI), so there is no brake")
        return tuple(told)

    def settle(self) -> tuple[str, ...]:
        """Wait a moment for blocks that the kernel is about to put back.

        Where memhp was killed in the midst of a write, the kernel is told with
        it and needs a little to give up; what it holds on to stays as it is. And
        the debug messages that were on for it are switched off.
        """
        if self._root.is_writable:
            wait_for_blocks_on_their_way(self._root, GRACE)
        if self._root.is_live and self._root.mounted is None:
            DynamicDebug(self._root).put_back()
        return ()

    def bounded(self, limits: Limits) -> "LinuxMachine":
        """The same machine, with other limits for what is done to it."""
        return LinuxMachine(self._root, limits)

    def evidence(self, blocks: Sequence[BlockId]) -> "Evidence":
        """Look into blocks, doubtful ones several times; raises ``MachineError``.

        Needs root, and a running kernel of its own: a model knows its pages better.
        """
        from memhp.machines.linux.look_inside import look_inside  # noqa: PLC0415

        self._check_running()
        snapshot = self.snapshot(Want.BLOCKS | Want.IOMEM)
        return look_inside(self._root, snapshot, blocks, pause=time.sleep)

    def ranges_of_task(self, pid: int) -> "tuple[PhysRange, ...]":
        """Where a process's memory lies; raises ``NoSuchObject`` and ``NotSupported``."""
        from memhp.machines.linux.task_memory import ranges_of_task  # noqa: PLC0415

        self._check_running()
        return ranges_of_task(self._root, pid)

    def _check_running(self) -> None:
        if not self._root.is_live or self._root.mounted is not None:
            raise NotSupported(
                machine=self.name,
                operation="show its pages",
                advice="the running host can, and a model by its own address (model:NAME)",
            )

    def apply(self, step: Step, *, until: float | None, tell: Tell) -> Outcome:
        """Carry out one step and read back what came of it.

        Raises ``NotSupported`` for what a person does, for a saved tree, and for
        this host while ``MEMHP_NO_LIVE_WRITES`` is set.
        """
        if isinstance(step.action, RemoveDevice | AddDevice):
            return apply_physical(self._root, step, until=until, tell=tell)
        if isinstance(step.action, Preparing):
            return prepare.prepare(self._root, step, until=until)
        with listening(self._root, step) as told:
            return told(self._apply_logical(step, until, tell))

    def _apply_logical(self, step: Step, until: float | None, tell: Tell) -> Outcome:
        if not isinstance(step.action, OfflineBlock) or not self._root.is_writable:
            return self._write(step, until, None)
        sight = sight_of(self._root, step.action.block)
        limits = self._limits.with_left(None if until is None else until - time.monotonic())
        return watched(step, lambda watch: self._write(step, until, watch), sight, limits, tell)

    def _write(self, step: Step, until: float | None, watch: Watch | None) -> Outcome:
        return apply_logical(
            step,
            machine=self.name,
            read=self._root.text_if_there,
            write=lambda relative, word: write_live(self._root, relative, word, until, watch),
        )


def _unseen_bindings(root: Root) -> Iterator[str]:
    from memhp.machines.linux.surroundings import count_unseen_bindings  # noqa: PLC0415 - seldom

    if unseen := count_unseen_bindings(root):
        yield (
            f"the policies of {unseen} processes could not be read (numa_maps), so whether they "
            "are bound to a node is unknown; root may read them"
        )


def open_linux(rest: str) -> LinuxMachine:
    """Open what follows ``linux:``; empty means this host. Raises ``NoSuchMachine``."""
    return LinuxMachine(open_root(rest))
