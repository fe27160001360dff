"""How one step ended."""

import errno
import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What was promised is so."""

    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The kernel, or the step's own precondition, said no; nothing was changed.

    ``errno_name`` is the kernel's (``EBUSY``), or ``None`` for a precondition.
    """

    reason: str
    errno_name: str | None = None

    @property
    def words(self) -> str:
        """The refusal as a person reads it."""
        if self.errno_name is None:
            return self.reason
        code = getattr(errno, self.errno_name, None)
        meaning = f" ({os.strerror(code)})" if code is not None else ""
        return f"{self.reason} [{self.errno_name}{meaning}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Partly:
    """A part was done and stays: a virtio-mem device that shrank by half."""

    done_bytes: int
    wanted_bytes: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unanswered:
    """Asked, and no verdict came: the target is untouchable until it is known."""

    asked: str


Outcome = Done | Refused | Partly | Unanswered
