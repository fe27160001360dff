"""Which machine an address means: ``linux:``, ``model:NAME``, ``model:FILE/GUEST``, ``lab:NAME``.

Drivers are imported only where they are used.
"""

from typing import TYPE_CHECKING

from memhp.core.errors import NoSuchMachine

if TYPE_CHECKING:  # a listing of this host needs nothing but its reader
    from memhp.core.listing import BlockLister
    from memhp.core.machine import Machine
    from memhp.machines.lab.machine import LabMachine

_KINDS = (
    "addresses are linux:, linux:DIR (a saved tree or a mounted model), model:NAME, "
    "model:FILE.machine and lab:NAME"
)


def open_machine(address: str) -> "Machine":
    """Open a machine; raises ``NoSuchMachine`` and what the driver raises."""
    kind, rest = _parts(address)
    if kind == "linux":
        from memhp.machines.linux.machine import open_linux  # noqa: PLC0415

        return open_linux(rest)
    if kind == "lab":
        return _open_lab(rest)
    from memhp.machines.open_model import open_model  # noqa: PLC0415

    return open_model(rest)


def open_lister(address: str) -> "BlockLister":
    """Open what lists a machine's blocks, with as little as that takes; raises the same."""
    kind, rest = _parts(address)
    if kind == "linux":
        from memhp.machines.linux.lister import LinuxLister  # noqa: PLC0415

        return LinuxLister(rest)
    if kind == "lab":
        return _open_lab(rest)
    from memhp.machines.open_model import open_model  # noqa: PLC0415

    return open_model(rest)


def _open_lab(name: str) -> "LabMachine":
    from memhp.machines.lab.guest import Guest  # noqa: PLC0415
    from memhp.machines.lab.machine import LabMachine  # noqa: PLC0415

    return LabMachine(Guest(name))


def _parts(address: str) -> tuple[str, str]:
    kind, colon, rest = address.partition(":")
    if not colon:
        raise NoSuchMachine(machine=address, problem="is no address", advice=_KINDS)
    if kind not in {"linux", "model", "lab"}:
        raise NoSuchMachine(machine=address, problem=f"is of no known kind '{kind}'", advice=_KINDS)
    return kind, rest
