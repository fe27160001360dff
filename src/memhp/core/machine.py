"""The narrow door: all that the rest of memhp knows of any machine."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, runtime_checkable

from memhp.core.census import BlockCensus
from memhp.core.events import StepProgress
from memhp.core.geometry import BlockId
from memhp.core.limits import Limits
from memhp.core.outcome import Outcome
from memhp.core.plan import Step
from memhp.core.snapshot import Snapshot, Want
from memhp.core.words import Ability

Tell = Callable[[StepProgress], None]
"""Takes the progress of a step while it runs."""


class Machine(Protocol):
    """A machine that can be looked at and changed, one step at a time.

    Everything may raise ``MachineError``; what the kernel refuses is an
    outcome and never an exception.
    """

    @property
    def name(self) -> str:
        """The address under which a person opened it; steps carry it."""

    @property
    def address(self) -> str:
        """The same from any folder, for a journal."""

    @property
    def lasts(self) -> bool:
        """Whether the next command finds what this one did."""

    @property
    def identity(self) -> str:
        """What a journal is bound to; another after every restart."""

    @property
    def can(self) -> frozenset[Ability]:
        """What ``apply`` may be asked for."""

    def snapshot(self, want: Want = Want.ALL) -> Snapshot:
        """Read the parts asked for, and no others."""

    def census(self, blocks: Sequence[BlockId]) -> Mapping[BlockId, BlockCensus]:
        """Count the kinds of page in each block; raises ``NoSuchObject``."""

    def apply(self, step: Step, *, until: float | None, tell: Tell) -> Outcome:
        """Carry out one step and read back what came of it.

        Checks ``step.expect`` just before and answers ``Refused`` where the
        target has changed. ``until`` is a deadline in seconds of the
        machine's monotonic clock; ``None`` waits for as long as it takes.
        """


@runtime_checkable
class Settling(Protocol):
    """A machine on which something may have ended when nobody looked."""

    def settle(self) -> tuple[str, ...]:
        """Finish that, before anything else is done; returns the devices that have gone."""


@runtime_checkable
class Cautious(Protocol):
    """A machine of which not everything can be known or done."""

    def cautions(self) -> tuple[str, ...]:
        """What a person should know before it is changed, in sentences."""


@runtime_checkable
class Bounded(Protocol):
    """A running machine, whose writes may block and whose programs may suffer from them."""

    def bounded(self, limits: Limits) -> Machine:
        """The same machine, with other limits than the ones that hold by default."""


@runtime_checkable
class Restartable(Protocol):
    """A machine that forgets its devices when it is started again, unless it is told of them."""

    def restart_arguments(self) -> tuple[str, ...]:
        """The arguments, one option each, that keep its devices as they are now."""
