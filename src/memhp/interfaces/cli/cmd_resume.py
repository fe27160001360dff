"""Go on with an operation that was interrupted or killed.

The journal knows what was asked for, what was done and what was about to be
done; the machine knows how it stands. Without a number it is the last one that
has not ended.

  memhp resume
  memhp resume 7
"""

from argparse import ArgumentParser, Namespace

from memhp.core.errors import JournalError
from memhp.core.words import ExitCode
from memhp.interfaces.cli.carry_out import add_deadline_option, conduct, conductor_of
from memhp.interfaces.cli.live_guard import refuse_unnamed_live
from memhp.interfaces.cli.options import add_json_option, add_machine_option
from memhp.interfaces.cli.state_folder import state_folder
from memhp.machines.open import open_machine
from memhp.operations.conduct import undone_by
from memhp.operations.journal import Journals

SUMMARY = "go on with an interrupted operation"


def add_arguments(parser: ArgumentParser) -> None:
    """Describe the command's arguments and options."""
    parser.add_argument("operation", nargs="?", metavar="N", help="its number, as 'memhp log' says")
    add_machine_option(parser)
    add_json_option(parser)
    add_deadline_option(parser)


def run(args: Namespace) -> ExitCode:
    """Open the operation's machine and go on."""
    journals = Journals(state_folder())
    name = args.operation or _last_open(journals)
    machine = open_machine(journals.read(name).begun.address)
    refuse_unnamed_live(machine, args)
    conductor = conductor_of(machine, args)
    return conduct(lambda: conductor.resume(name), conductor)


def _last_open(journals: Journals) -> str:
    for name in reversed(journals.names()):
        if journals.read(name).finished is None and undone_by(journals, name) is None:
            return name
    raise JournalError(
        operation="no operation",
        problem="waits to be gone on with",
        advice="'memhp log' shows what was done",
        exit_code=ExitCode.USAGE,
    )
