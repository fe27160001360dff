"""One live kernel that many threads look at and change.

A lock guards it. Readers see whole states: they hold the lock while they look.
A writer steps its change and gives the lock up at every stop, so that a change
that waits, or that the kernel tries for ever, is in nobody's way but its own.
"""

import errno
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Condition, Lock
from typing import Protocol, TypeVar

from memhp.model.kernel import Kernel
from memhp.model.steps import LOOKS_FOR_SIGNALS, KernelRefusal, Pause, Signal, Steps
from memhp.model.tree.tree import Tree
from memhp.model.uevents import Uevent

T = TypeVar("T")
Interrupted = Callable[[], bool]
"""Whether the task that writes has been sent a signal."""
_WAITS = frozenset({Pause.LOCK, Pause.RETRYING})
_LOOK_SECONDS = 0.01
"""How long a writer that waits may not see a signal (or try pinned pages again)."""


@dataclass(slots=True, kw_only=True)
class Change:
    """A write that is under way, or has ended; ``begun`` once it has more than waited."""

    path: str
    text: str
    begun: bool = False
    outcome: str = "done"
    uevents: list[Uevent] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)

    @property
    def asked(self) -> str:
        """What was asked, as the log of a state file has it."""
        return f"write '{self.text.removesuffix(chr(10))}' to {self.path}"


class Keeper(Protocol):
    """Where finished changes go."""

    def keep(self, kernel: Kernel, change: Change, *, alone: bool) -> None:
        """Save what a change did; not ``alone`` while another has been begun and not ended."""


class ServedKernel:
    """A kernel behind a lock. ``hear`` takes each uevent as it is sent, in order.

    ``nr_steps`` counts the steps of all changes: while it stands still, so does
    the kernel.
    """

    def __init__(self, kernel: Kernel, keeper: Keeper, hear: Callable[[Uevent], None]) -> None:
        self._kernel = kernel
        self._tree = Tree(kernel)
        self._keeper = keeper
        self._hear = hear
        self._turn = Condition(Lock())
        self._under_way: list[Change] = []
        self._ending = False
        self.nr_steps = 0

    def look(self, ask: Callable[[Tree], T]) -> T:
        """Ask something of the tree, in a state that no change is in the middle of writing."""
        with self._turn:
            return ask(self._tree)

    def write(self, path: str, text: str, interrupted: Interrupted) -> None:
        """Write a file and wait for the end of it; what was done is kept before this returns.

        Raises ``KernelRefusal`` (``EINTR`` where the writer was interrupted)
        and ``MachineError`` where the outcome could not be kept.
        """
        change = Change(path=path, text=text)
        with self._turn:
            if self._ending:
                raise KernelRefusal(errno.ENODEV, "the machine is being taken away")
            self._under_way.append(change)
            try:
                self._make(change, interrupted)
            except KernelRefusal as refusal:
                change.outcome = f"refused: {refusal}"
                raise
            finally:
                self._under_way.remove(change)
                self._turn.notify_all()
                self._keep(change)

    def end(self) -> None:
        """Interrupt changes that wait, let no other begin, and wait until all have ended."""
        with self._turn:
            self._ending = True
            self._turn.notify_all()
            while self._under_way:
                self._turn.wait()

    def _make(self, change: Change, interrupted: Interrupted) -> None:
        """Step a change to its end; the lock is held at each step and given up between them."""
        steps = self._tree.write_steps(change.path, change.text)
        pause: Pause | None = None
        while True:
            signalled = pause in LOOKS_FOR_SIGNALS and (self._ending or interrupted())
            try:
                pause = _step(steps, signalled=signalled)
            except StopIteration:
                return
            finally:
                self._collect(change)
            change.begun |= pause is not Pause.LOCK
            self._let_others_in(pause)

    def _let_others_in(self, pause: Pause) -> None:
        """Give the lock up: for a moment, or where the change waits until something is done."""
        if not self._kernel.hotplug_lock:
            self._turn.notify_all()
        if pause in _WAITS:
            self._turn.wait(_LOOK_SECONDS)
            return
        self._turn.release()
        try:
            time.sleep(0)
        finally:
            self._turn.acquire()

    def _collect(self, change: Change) -> None:
        """Send what the last step said, and note it for the log."""
        self.nr_steps += 1
        for uevent in self._kernel.uevents:
            self._hear(uevent)
        change.uevents += self._kernel.uevents
        change.messages += self._kernel.log
        self._kernel.uevents.clear()
        self._kernel.log.clear()

    def _keep(self, change: Change) -> None:
        alone = not any(other.begun for other in self._under_way)
        self._keeper.keep(self._kernel, change, alone=alone)


def _step(steps: Steps[None], *, signalled: bool) -> Pause:
    """One step further; a signal reaches the change as the kernel's own code would see it.

    Raises ``StopIteration`` at the end, and ``KernelRefusal``.
    """
    if not signalled:
        return next(steps)
    try:
        return steps.throw(Signal())
    except Signal:
        raise KernelRefusal(errno.EINTR, "interrupted while it waited for its turn") from None
