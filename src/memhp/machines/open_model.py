"""Model machines by name: shipped ones, descriptions, and state files that last."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from memhp.core.errors import NoSuchObject
from memhp.machines.model import ModelMachine
from memhp.model.description import Description, start
from memhp.model.kernel import Kernel
from memhp.model.shipped import load_description

if TYPE_CHECKING:  # SQLite is imported where a state file is opened
    from memhp.model.store import StateFile

_DESCRIPTION_SUFFIX = ".toml"


class BootedKernel:
    """A kernel that was booted for this command alone: what is done to it does not last."""

    lasts = False

    def __init__(self, kernel: Kernel, identity: str) -> None:
        self._kernel = kernel
        self.identity = identity

    def load(self) -> Kernel:
        """The kernel itself; whoever only looks must not change it."""
        return self._kernel

    @contextmanager
    def change(self, what: str) -> Iterator[Kernel]:  # noqa: ARG002 - nothing is kept
        """The kernel to change; there is nobody to keep out."""
        yield self._kernel

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

    def came_of_it(self, outcome: str) -> None:
        """Put the outcome into the file's log."""
        self._file.came_of_it(outcome)


def open_model(rest: str) -> ModelMachine:
    """Open what follows ``model:``; empty means the shipped server.

    ``NAME`` is a shipped machine, ``FILE.toml`` a description, any other file
    a state file; ``/GUEST`` behind it is one of its guests.
    """
    address = f"model:{rest}"
    name, guest = _split(rest or "server")
    path = Path(name)
    if path.is_file() and not name.endswith(_DESCRIPTION_SUFFIX):
        from memhp.model.store import StateFile  # noqa: PLC0415

        file = StateFile.open(path)
        if guest:
            file.identity_of(guest)
        return ModelMachine(address, KeptKernel(file, guest))
    described = load_description(name)
    return ModelMachine(address, BootedKernel(start(_guest_of(described, guest)), address))


def _split(rest: str) -> tuple[str, str]:
    """Part a guest's name from what stands before it; a file of the whole name comes first."""
    before, slash, guest = rest.rpartition("/")
    if not slash or Path(rest).exists() or rest.endswith(_DESCRIPTION_SUFFIX):
        return rest, ""
    if "/" in before and not Path(before).is_file():
        return rest, ""
    return before, guest


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
