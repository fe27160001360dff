"""Put back what an operation has changed, each block in the zone that it had.

It works on an operation that has ended and on one that was killed half-way.
Without a number it is the last one.

  memhp undo
  memhp undo 7
"""

from argparse import ArgumentParser, Namespace

from memhp.core.errors import JournalError
from memhp.core.words import ExitCode
from memhp.interfaces.cli.carry_out import add_deadline_option, conduct, conductor_of
from memhp.interfaces.cli.live_guard import refuse_unnamed_live
from memhp.interfaces.cli.options import add_json_option, add_machine_option
from memhp.interfaces.cli.state_folder import state_folder
from memhp.machines.open import open_machine
from memhp.operations.journal import Journals

SUMMARY = "put back what an operation has changed"


def add_arguments(parser: ArgumentParser) -> None:
    """Describe the command's arguments and options."""
    parser.add_argument("operation", nargs="?", metavar="N", help="its number, as 'memhp log' says")
    add_machine_option(parser)
    add_json_option(parser)
    add_deadline_option(parser)


def run(args: Namespace) -> ExitCode:
    """Open the operation's machine and go back."""
    journals = Journals(state_folder())
    name = args.operation or _last(journals)
    machine = open_machine(journals.read(name).begun.address)
    refuse_unnamed_live(machine, args)
    conductor = conductor_of(machine, args)
    return conduct(lambda: conductor.undo(name), conductor)


def _last(journals: Journals) -> str:
    names = journals.names()
    if names:
        return names[-1]
    raise JournalError(
        operation="no operation",
        problem="is in the journal",
        advice="there is nothing to undo",
        exit_code=ExitCode.USAGE,
    )
