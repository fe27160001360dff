"""Model machines by name: shipped ones, descriptions, and state files that last."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from memhp.core.errors import NoSuchMachine, NoSuchObject
from memhp.core.snapshot import HostBudget
from memhp.machines.model import ModelMachine
from memhp.model.description import Description, start
from memhp.model.host_budget import budget_of, promised_at_boot, promised_bytes
from memhp.model.kernel import Kernel
from memhp.model.shipped import load_description, shipped_machines

if TYPE_CHECKING:  # SQLite is imported where a state file is opened
    from memhp.model.store import StateFile

_DESCRIPTION_SUFFIX = ".toml"


class BootedKernel:
    """A kernel that was booted for this command alone: what is done to it does not last."""

    lasts = False

    def __init__(
        self, kernel: Kernel, identity: str, host: Callable[[Kernel], HostBudget] | None = None
    ) -> None:
        self._kernel = kernel
        self._host = host
        self.identity = identity

    def load(self) -> Kernel:
        """The kernel itself; whoever only looks must not change it."""
        return self._kernel

    @contextmanager
    def change(self, what: str) -> Iterator[Kernel]:  # noqa: ARG002 - nothing is kept
        """The kernel to change; there is nobody to keep out."""
        yield self._kernel

    def host(self) -> HostBudget | None:
        """The host as it is described, and its other guests as they boot."""
        return None if self._host is None else self._host(self._kernel)

    def came_of_it(self, outcome: str) -> None:
        """Nothing is logged."""


class KeptKernel:
    """A kernel, or a guest's, that lives in a state file."""

    lasts = True

    def __init__(self, file: "StateFile", part: str) -> None:
        self._file = file
        self._part = part

    @property
    def identity(self) -> str:
        """The machine's own identity, another after every boot."""
        return self._file.identity_of(self._part)

    def load(self) -> Kernel:
        """Read the kernel from the file."""
        return self._file.load(self._part)

    @contextmanager
    def change(self, what: str) -> Iterator[Kernel]:
        """Change the kernel in one transaction."""
        with self._file.change(what, self._part) as kernel:
            yield kernel

    def host(self) -> HostBudget | None:
        """The machine that the file is about, and all guests as they stand."""
        if not self._part:
            return None
        promised = [promised_bytes(self._file.load(part)) for part in self._file.parts()]
        return budget_of(self._file.identity_of(""), self._file.load(), promised)

    def came_of_it(self, outcome: str) -> None:
        """Put the outcome into the file's log."""
        self._file.came_of_it(outcome)


def open_model(rest: str) -> ModelMachine:
    """Open what follows ``model:``; empty means the shipped server.

    ``NAME`` is a shipped machine, ``FILE.toml`` a description, any other file
    a state file, which comes before a shipped machine of its name; ``/GUEST``
    behind it is one of its guests. Raises ``MachineError`` and ``NoSuchObject``.
    """
    address = f"model:{rest}"
    name, guest = _split(rest or "server")
    if _is_file(name) and not name.endswith(_DESCRIPTION_SUFFIX):
        from memhp.model.store import StateFile  # noqa: PLC0415

        file = StateFile.open(name)
        if guest:
            file.identity_of(guest)
        absolute = f"model:{Path(name).absolute()}" + (f"/{guest}" if guest else "")
        return ModelMachine(address, KeptKernel(file, guest), absolute)
    described = _load(name)
    host = _host_of(name, described, guest) if guest else None
    kernel = start(_guest_of(described, guest))
    return ModelMachine(address, BootedKernel(kernel, address, host))


def _host_of(name: str, described: Description, guest: str) -> Callable[[Kernel], HostBudget]:
    def budget(kernel: Kernel) -> HostBudget:
        others = [promised_at_boot(g.firmware) for g in described.guests if g.name != guest]
        return budget_of(name, start(described), [*others, promised_bytes(kernel)])

    return budget


def _split(rest: str) -> tuple[str, str]:
    """Part a guest's name from what stands before it; a file of the whole name comes first."""
    before, slash, guest = rest.rpartition("/")
    if not slash or os.path.lexists(rest) or rest.endswith(_DESCRIPTION_SUFFIX):
        return rest, ""
    if before in shipped_machines() or (before and _is_file(before)):
        return before, guest
    return rest, ""


def _is_file(name: str) -> bool:
    """Whether a file is there, or something that only opening it can tell."""
    try:
        return Path(name).is_file()
    except OSError:
        return True


def _load(name: str) -> Description:
    try:
        return load_description(name)
    except NoSuchMachine as err:
        raise NoSuchMachine(
            machine=name,
            problem="does not come with memhp and is no file",
            advice=f"there are {', '.join(shipped_machines())}; "
            "'memhp model new NAME FILE' makes a file",
        ) from err


def _guest_of(described: Description, guest: str) -> Description:
    if not guest:
        return described
    for inner in described.guests:
        if inner.name == guest:
            return inner
    names = ", ".join(inner.name for inner in described.guests)
    raise NoSuchObject(
        machine=described.name,
        name=f"guest '{guest}'",
        advice=f"its guests are {names}" if names else "it has no guests",
    )
