"""How one step ended."""

import errno
import os
from dataclasses import dataclass

from memhp.core.reasons import meaning_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What was promised is so."""

    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The kernel, or the step's own precondition, said no; nothing was changed.

    ``errno_name`` is the kernel's (``EBUSY``), or ``None`` for a precondition.
    ``ends_run``: the machine has to be left alone now, other targets included.
    """

    reason: str
    errno_name: str | None = None
    ends_run: bool = False

    @property
    def words(self) -> str:
        """The refusal as a person reads it: the kernel's term, its errno, what that means."""
        if self.errno_name is None:
            return self.reason
        meaning = meaning_of(self.reason)
        if meaning is not None:
            return f"{self.reason.partition(':')[0]} [{self.errno_name}]: {meaning}"
        code = getattr(errno, self.errno_name, None)
        told = f" ({os.strerror(code)})" if code is not None else ""
        return f"{self.reason} [{self.errno_name}{told}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Partly:
    """A part was done and stays: a virtio-mem device that shrank by half.

    Both counts are of the change: ``wanted_bytes`` less or more, of which ``done_bytes`` were.
    """

    done_bytes: int
    wanted_bytes: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unanswered:
    """Asked, and no verdict came: the target is untouchable until it is known.

    The journal keeps it open. Every later snapshot is held against it
    (``Device.pending``): an answer that comes late is taken as if it had come then.
    ``why`` tells what is known of it: that the kernel holds a block that it was
    told to let go.
    """

    asked: str
    why: str = ""


Outcome = Done | Refused | Partly | Unanswered
