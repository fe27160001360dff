"""Which machine an address means: ``linux:``, ``model:NAME``, ``qemu:SOCKET``, ``lab:NAME``.

Drivers are imported only where they are used.
"""

from typing import TYPE_CHECKING

from memhp.core.errors import NoSuchMachine

if TYPE_CHECKING:  # a listing of this host needs nothing but its reader
    from memhp.core.listing import BlockLister
    from memhp.core.machine import Machine
    from memhp.machines.lab.machine import LabMachine
    from memhp.machines.qemu.machine import QemuMachine

_KINDS = (
    "addresses are linux:, linux:DIR (a saved tree or a mounted model), model:NAME, "
    "model:FILE.machine, lab:NAME, qemu:QMP_SOCKET,agent=AGENT_SOCKET and qemu:NAME"
)


def open_machine(address: str, *, held: bool = False) -> "Machine":
    """Open a machine; raises ``NoSuchMachine`` and what the driver raises.

    ``held`` tells that it will be held (``Holding``) and asked at once.
    """
    kind, rest = _parts(address)
    if kind == "linux":
        from memhp.machines.linux.machine import open_linux  # noqa: PLC0415

        return open_linux(rest)
    if kind == "lab":
        return _open_lab(rest)
    if kind == "qemu":
        return _open_qemu(rest, held=held)
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
    if kind == "qemu":
        return _open_qemu(rest)
    from memhp.machines.open_model import open_model  # noqa: PLC0415

    return open_model(rest)


def _open_lab(name: str) -> "LabMachine":
    from memhp.machines.lab.guest import Guest  # noqa: PLC0415
    from memhp.machines.lab.machine import LabMachine  # noqa: PLC0415

    return LabMachine(Guest(name))


def _open_qemu(rest: str, *, held: bool = False) -> "QemuMachine":
    """Sockets, or the name of a guest of the lab, whose sockets are known."""
    from memhp.machines.qemu.address import QemuAddress, parse_address  # noqa: PLC0415
    from memhp.machines.qemu.early import connect_early  # noqa: PLC0415

    found = parse_address(rest)
    if isinstance(found, QemuAddress):
        address, sockets = found.absolute, found
    else:
        from memhp.machines.lab.guest import Guest  # noqa: PLC0415

        guest, address = Guest(found), f"qemu:{rest}"
        if guest.pid is None:
            raise NoSuchMachine(
                machine=address,
                problem="is no guest of the lab that runs",
                advice=f"start it with 'memhp lab up {rest} --agent', or give the path of a "
                "monitor's socket, with a '/' in it",
            )
        sockets = QemuAddress(monitor=guest.monitor_path(), agent=guest.agent_path())
    early = connect_early(sockets.agent) if held else None
    from memhp.machines.qemu.machine import QemuMachine  # noqa: PLC0415

    return QemuMachine(f"qemu:{rest}", address, sockets, early)


def _parts(address: str) -> tuple[str, str]:
    kind, colon, rest = address.partition(":")
    if not colon:
        raise NoSuchMachine(machine=address, problem="is no address", advice=_KINDS)
    if kind not in {"linux", "model", "lab", "qemu"}:
        raise NoSuchMachine(machine=address, problem=f"is of no known kind '{kind}'", advice=_KINDS)
    return kind, rest
