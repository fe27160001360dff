"""Options that several commands share."""

import os
from argparse import SUPPRESS, ArgumentParser, Namespace
from typing import TYPE_CHECKING

from memhp.core.errors import ArgumentError
from memhp.machines.open import open_machine

if TYPE_CHECKING:  # starting fast: a listing needs none of what a machine can do
    from memhp.core.machine import Machine

MACHINE_VARIABLE = "MEMHP_MACHINE"
LIVE = "linux:"
"""This host."""


def named_by_hand(args: Namespace) -> bool:
    """Whether the machine was named on the command line."""
    return args.machine is not None


def address_of(args: Namespace) -> str | None:
    """The machine that was named on the command line, or else by the environment."""
    return args.machine or os.environ.get(MACHINE_VARIABLE) or None


def add_machine_option(parser: ArgumentParser, *, everywhere: bool = False) -> None:
    """Add ``-M``: which machine the command is about.

    It may stand before the command (``everywhere``) or behind it; what is not
    given behind leaves what stood before.
    """
    parser.add_argument(
        "-M",
        "--machine",
        metavar="ADDRESS",
        default=None if everywhere else SUPPRESS,
        help="the machine: linux: (this host), linux:DIR (a saved tree, a mounted model), "
        "model:NAME, model:FILE.machine, lab:NAME, qemu:QMP_SOCKET[,agent=SOCKET] or qemu:NAME "
        f"(default: ${MACHINE_VARIABLE})",
    )


def add_json_option(parser: ArgumentParser) -> None:
    """Add ``--json``: the same values for a program to read."""
    parser.add_argument(
        "--json", action="store_true", default=SUPPRESS, help="print the result as JSON"
    )


def machine_of(args: Namespace, *, held: bool = False) -> "Machine":
    """Open the machine that was named; raises ``MachineError`` or ``ArgumentError``."""
    address = address_of(args)
    if address is None:
        raise ArgumentError(
            text="-M",
            problem="is missing",
            advice=f"name a machine, as in '-M model:server', or set {MACHINE_VARIABLE}",
        )
    return open_machine(address, held=held)
