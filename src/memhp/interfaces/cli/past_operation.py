"""What ``resume`` and ``undo`` share: an operation of the journal, on its own machine."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable

from memhp.core.errors import ArgumentError, JournalError
from memhp.core.words import Ending, ExitCode
from memhp.interfaces.cli.carry_out import add_deadline_option, conduct, conductor_of
from memhp.interfaces.cli.live_guard import refuse_unnamed_live
from memhp.interfaces.cli.options import add_json_option, add_machine_option
from memhp.interfaces.cli.state_folder import state_folder
from memhp.machines.open import open_machine
from memhp.operations.conduct import Conductor
from memhp.operations.journal import Journals


def add_operation_arguments(parser: ArgumentParser) -> None:
    """Add the operation's number, and how to go about it."""
    parser.add_argument("operation", nargs="?", metavar="N", help="its number, as 'memhp log' says")
    add_machine_option(parser)
    add_json_option(parser)
    add_deadline_option(parser)


def with_operation(
    args: Namespace,
    wanted: Callable[[Journals, str], bool],
    do: Callable[[Conductor, str], Ending],
) -> ExitCode:
    """Open the machine of an operation and do it there.

    Without a number it is the last one that is ``wanted``; where a machine is
    named, the last on that machine.
    """
    journals = Journals(state_folder())
    address = None if args.machine is None else open_machine(args.machine).address
    name = args.operation or _last(journals, address, wanted)
    begun = journals.read(name).begun
    if address not in {None, begun.address}:
        raise ArgumentError(
            text=args.machine,
            problem=f"is not the machine of operation {name}",
            advice=f"that is '{begun.address}'",
        )
    machine = open_machine(begun.address)
    refuse_unnamed_live(machine, args)
    conductor = conductor_of(machine, args)
    return conduct(lambda: do(conductor, name), conductor)


def _last(journals: Journals, address: str | None, wanted: Callable[[Journals, str], bool]) -> str:
    for name in reversed(journals.names()):
        there = address is None or journals.read(name).begun.address == address
        if there and wanted(journals, name):
            return name
    raise JournalError(
        operation="no operation",
        problem="of the journal is left for that",
        advice="'memhp log' shows what was done",
        exit_code=ExitCode.USAGE,
    )
