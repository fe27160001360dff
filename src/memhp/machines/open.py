"""Which machine an address means: ``linux:``, ``model:NAME``, ``model:FILE/GUEST``."""

from memhp.core.errors import NoSuchMachine
from memhp.core.machine import Machine

_KINDS = "addresses are linux:, linux:/saved/tree, model:NAME and model:FILE.machine"


def open_machine(address: str) -> Machine:
    """Open a machine; drivers are imported only where they are used.

    Raises ``NoSuchMachine`` and what the driver raises.
    """
    kind, colon, rest = address.partition(":")
    if not colon:
        raise NoSuchMachine(machine=address, problem="is no address", advice=_KINDS)
    if kind == "model":
        from memhp.machines.open_model import open_model  # noqa: PLC0415

        return open_model(rest)
    raise NoSuchMachine(machine=address, problem=f"is of no known kind '{kind}'", advice=_KINDS)
