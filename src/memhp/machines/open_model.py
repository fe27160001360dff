"""Model machines by name: shipped ones, descriptions, and state files that last."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from memhp.core.errors import NoSuchMachine, NoSuchObject
from memhp.core.snapshot import HostBudget
from memhp.machines.model import ModelMachine
from memhp.model.description import Description, start
from memhp.model.host_budget import budget_of, promised_at_boot, promised_bytes
from memhp.model.kernel import Kernel
from memhp.model.shipped import load_description, shipped_machines
from memhp.model.workload import Workload

if TYPE_CHECKING:  # SQLite is imported where a state file is opened
    from memhp.model.store import StateFile

_DESCRIPTION_SUFFIX = ".toml"


class BootedKernel:
    """A kernel that was booted for this command alone: what is done to it does not last."""

    lasts = False

    def __init__(
        self,
        kernel: Kernel,
        identity: str,
        host: Callable[[Kernel], HostBudget | None] = lambda _kernel: None,
        workload: Workload | None = None,
    ) -> None:
        self._kernel = kernel
        self._host = host
        self.identity = identity
        self.workload = workload

    def load(self) -> Kernel:
        """The kernel itself; whoever only looks must not change it."""
        return self._kernel

    @contextmanager
    def change(self, what: str) -> Iterator[Kernel]:  # noqa: ARG002 - nothing is kept
        """The kernel to change; there is nobody to keep out."""
        yield self._kernel

    def host(self) -> HostBudget | None:
        """The host as it is described, and its other guests as they boot."""
        return self._host(self._kernel)

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

    @property
    def workload(self) -> Workload | None:
        """What the description that the file was made from lets run."""
        return self._file.described(self._part).workload

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


@dataclass(frozen=True, slots=True, kw_only=True)
class InFile:
    """A model machine in a state file: the machine itself, or a guest of it."""

    path: Path
    guest: str

    @property
    def address(self) -> str:
        """The machine's address from any folder."""
        return f"model:{self.path.absolute()}" + (f"/{self.guest}" if self.guest else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """A model machine that is booted from its description and lives in memory only.

    ``host`` is the machine that it is a guest of, if it is one.
    """

    address: str
    description: Description
    host: Description | None = None

    def budget(self, kernel: Kernel) -> HostBudget | None:
        """What the host has left: its other guests are as they boot, for nobody runs them."""
        if self.host is None:
            return None
        name = self.description.name
        others = [promised_at_boot(g.firmware) for g in self.host.guests if g.name != name]
        return budget_of(self.host.name, start(self.host), [*others, promised_bytes(kernel)])


def find_model(rest: str) -> InFile | Described:
    """Find what follows ``model:``; empty means the shipped server.

    ``NAME`` is a shipped machine, ``FILE.toml`` a description, any other file
    a state file, which comes before a shipped machine of its name; ``/GUEST``
    behind it is one of its guests. Raises ``MachineError`` and ``NoSuchObject``.
    """
    name, guest = _split(rest or "server")
    if _is_file(name) and not name.endswith(_DESCRIPTION_SUFFIX):
        return InFile(path=Path(name), guest=guest)
    described = _load(name)
    return Described(
        address=f"model:{rest}",
        description=_guest_of(described, guest),
        host=described if guest else None,
    )


def open_model(rest: str) -> ModelMachine:
    """Open what follows ``model:``, as ``find_model()`` finds it; raises the same."""
    address = f"model:{rest}"
    found = find_model(rest)
    if isinstance(found, Described):
        described = found.description
        source = BootedKernel(start(described), address, found.budget, described.workload)
        return ModelMachine(address, source)
    from memhp.model.store import StateFile  # noqa: PLC0415

    file = StateFile.open(found.path)
    if found.guest:
        file.identity_of(found.guest)
    return ModelMachine(address, KeptKernel(file, found.guest), found.address)


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
