"""Nothing is done to a live machine that was not named, or confirmed with its name and amount."""

import os
import socket
import sys
from argparse import Namespace

from memhp.core.errors import NotSupported
from memhp.core.machine import Machine
from memhp.core.request import Move
from memhp.interfaces.cli.amounts import amount
from memhp.interfaces.cli.options import LIVE, named_by_hand
from memhp.machines.linux.lister import open_root
from memhp.machines.linux.live_write import NO_LIVE_WRITES
from memhp.operations.converge import look_at
from memhp.operations.next_leg import next_leg
from memhp.operations.operation import Operation, block_of


def confirm_live(machine: Machine, operation: Operation, args: Namespace) -> None:
    """Ask before a live host is changed that was not named with ``-M``; raises ``NotSupported``."""
    if not _is_this_host(machine):
        return
    if os.environ.get(NO_LIVE_WRITES):
        raise _refused(machine, f"{NO_LIVE_WRITES} is set")
    if named_by_hand(args) or isinstance(operation.request, Move):  # that names its machines
        return
    question = _question(machine, operation)
    if not sys.stdin.isatty():
        raise _refused(machine, "it was named by the environment alone")
    print(question, end=" ", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip() != "yes":
        raise _refused(machine, "it was not confirmed")


def refuse_unnamed_live(machine: Machine, args: Namespace) -> None:
    """Let nothing saved be done to a live host that is not named; raises ``NotSupported``."""
    if not _is_this_host(machine):
        return
    if os.environ.get(NO_LIVE_WRITES):
        raise _refused(machine, f"{NO_LIVE_WRITES} is set")
    if not named_by_hand(args):
        raise _refused(machine, "it was not named")


def _is_this_host(machine: Machine) -> bool:
    """Whether it is this host, and no model stands in for its files (``memhp model exec``)."""
    return machine.name == LIVE and open_root("").mounted is None


def _question(machine: Machine, operation: Operation) -> str:
    """Host, blocks and bytes, and what to answer."""
    snapshots = look_at({machine.name: machine}, operation.request)
    snapshot = snapshots[machine.name]
    leg = next_leg(operation, snapshots)
    steps = () if leg is None else leg.plan.steps
    numbers = [number for step in steps if (number := block_of(step)) is not None]
    size = amount(len(numbers) * snapshot.block_size_bytes)
    return (
        f"{operation.request} on this host, {socket.gethostname()}: {len(numbers)} blocks, "
        f"{size}. Type 'yes' to do it:"
    )


def _refused(machine: Machine, why: str) -> NotSupported:
    return NotSupported(
        machine=machine.name,
        operation=f"be changed, for {why}",
        advice="name it with '-M linux:', or try it on a model",
    )
