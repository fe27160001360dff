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
    *,
    only: str | None = None,
) -> ExitCode:
    """Open the machines of an operation and do it there.

    Without a number it is the last one that is ``wanted``; where a machine is
    named, the last on that machine. ``only`` is the one machine to do it on,
    where the operation was about several.
    """
    journals = Journals(state_folder())
    named = only or args.machine
    address = None if named is None else open_machine(named).address
    name = args.operation or _last(journals, address, wanted)
    bounds = journals.read(name).begun.machines
    if address is not None and address not in {bound.address for bound in bounds}:
        known = "' and '".join(bound.address for bound in bounds)
        raise ArgumentError(
            text=named or "",
            problem=f"is not the machine of operation {name}",
            advice=f"that is '{known}'",
        )
    machines = {
        bound.name: open_machine(bound.address)
        for bound in bounds
        if only is None or bound.address == address
    }
    for machine in machines.values():
        refuse_unnamed_live(machine, args)
    conductor = conductor_of(machines, args)
    return conduct(lambda: do(conductor, name), conductor)


def _can_be_read(journals: Journals, name: str) -> bool:
    """Whether a journal is one of ours; one that is not keeps nobody from the others."""
    try:
        journals.read(name)
    except JournalError:
        return False
    return True


def _is_about(journals: Journals, name: str, address: str | None) -> bool:
    if address is None:
        return True
    return any(bound.address == address for bound in journals.read(name).begun.machines)


def _last(journals: Journals, address: str | None, wanted: Callable[[Journals, str], bool]) -> str:
    for name in reversed(journals.names()):
        if not _can_be_read(journals, name):
            continue
        if _is_about(journals, name, address) and wanted(journals, name):
            return name
    raise JournalError(
        operation="no operation",
        problem="of the journal is left for that",
        advice="'memhp log' shows what was done",
        exit_code=ExitCode.USAGE,
    )
