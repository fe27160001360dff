"""The narrow door: all that the rest of memhp knows of any machine."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol, runtime_checkable

from memhp.core.census import BlockCensus
from memhp.core.events import StepProgress
from memhp.core.geometry import BlockId
from memhp.core.limits import Limits
from memhp.core.outcome import Outcome
from memhp.core.plan import Action, Step
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
class TakesRuns(Protocol):
    """A machine that can be given several steps at once, for each question costs it time."""

    def run_of(self, steps: Sequence[Step]) -> int:
        """How many of these, from the first on, it takes at once: one at least."""

    def apply_run(
        self,
        steps: Sequence[Step],
        *,
        until: float | None,
        tell: Tell,
        ended: Callable[[Outcome], None],
    ) -> None:
        """Carry steps out in turn; ``ended`` hears each outcome, soon after it.

        None is begun behind one that is not done, or once ``until`` has passed.
        Who dies meanwhile leaves a machine that may go on with the run for a
        while: ``settle()`` ends that.
        """


@runtime_checkable
class Holding(Protocol):
    """A machine that is quicker to ask while a way to it is kept open."""

    def hold(self) -> AbstractContextManager[None]:
        """Keep it open meanwhile. Others may have to wait for it."""


@runtime_checkable
class KnownOtherwise(Protocol):
    """A machine that can be opened by addresses of other kinds, too."""

    @property
    def other_identity(self) -> str:
        """Its identity by the other kind of address: one lock serves both."""


@runtime_checkable
class Alive(Protocol):
    """A machine on which others are at work: what was refused may be granted a moment later."""

    @property
    def changes_by_itself(self) -> bool:
        """Whether it is worth waiting for that."""


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
class Particular(Protocol):
    """A machine of which not every device can be changed in every way that it ``can``."""

    @property
    def plugged_by_hand(self) -> bool:
        """Whether a person alone can give it a new device."""

    def why_not(self, action: Action) -> str | None:
        """What keeps this from being done, and what to do about it; ``None`` where nothing does."""

    def lacks_rights(self, action: Action) -> str | None:
        """What this user may not do of it; ``None`` where that is allowed. Plans need no rights."""

    def warnings(self, action: Action) -> tuple[str, ...]:
        """What a person should know before this is done, in sentences."""


@runtime_checkable
class Restartable(Protocol):
    """A machine that forgets its devices when it is started again, unless it is told of them."""

    def restart_arguments(self) -> tuple[str, ...]:
        """The arguments, one option each, that keep its devices as they are now."""
