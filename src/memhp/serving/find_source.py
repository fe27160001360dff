"""What is to be served: a shipped machine, a description, or a machine of a state file."""

from dataclasses import dataclass

from memhp.machines.open_model import InFile, find_model
from memhp.model.description import start
from memhp.model.kernel import Kernel
from memhp.model.store import StateFile
from memhp.serving.keepers import KeptInFile, NothingKept
from memhp.serving.served_kernel import Keeper

_KIND = "model:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A live kernel and where its changes go; ``file`` is to be closed in the end.

    ``identity`` is what a journal is bound to: that of the state file, or of
    this one server, since what it holds in memory ends with it.
    """

    address: str
    identity: str
    kernel: Kernel
    keeper: Keeper
    file: StateFile | None = None

    def close(self) -> None:
        """Let go of the machine."""
        if self.file is not None:
            self.file.close()


def open_source(address: str, folder: str, nonce: str) -> Source:
    """Open what an address names, with or without ``model:`` before it.

    A machine of a state file is held for this process from then on, served at
    ``folder``. Raises ``MachineError`` and ``NoSuchObject``.
    """
    found = find_model(address.removeprefix(_KIND))
    if isinstance(found, InFile):
        return _open_file(found, folder)
    return Source(
        address=found.address,
        identity=f"{found.address}:{nonce}",
        kernel=_without_past(start(found.description)),
        keeper=NothingKept(),
    )


def _open_file(found: InFile, folder: str) -> Source:
    # The server leaves the folder from which it was started.
    file = StateFile.open(found.path.absolute(), one_thread=False)
    try:
        file.serve(found.guest, folder)
        return Source(
            address=found.address,
            identity=file.identity_of(found.guest),
            kernel=file.load(found.guest),
            keeper=KeptInFile(file, found.guest),
            file=file,
        )
    except BaseException:
        file.close()
        raise


def _without_past(kernel: Kernel) -> Kernel:
    """What was sent and written while it booted is nobody's change."""
    kernel.uevents.clear()
    kernel.log.clear()
    return kernel
