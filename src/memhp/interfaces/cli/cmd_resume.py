"""Go on with an operation that was interrupted or killed.

The journal knows what was asked for, what was done and what was about to be
done; the machine knows how it stands. Without a number it is the last one that
has not ended.

  memhp resume
  memhp resume 7
"""

from argparse import ArgumentParser, Namespace

from memhp.core.words import ExitCode
from memhp.interfaces.cli.past_operation import add_operation_arguments, with_operation
from memhp.operations.conduct import Conductor, undone_by
from memhp.operations.journal import Journals

SUMMARY = "go on with an interrupted operation"


def add_arguments(parser: ArgumentParser) -> None:
    """Describe the command's arguments and options."""
    add_operation_arguments(parser)


def run(args: Namespace) -> ExitCode:
    """Open the operation's machine and go on."""
    return with_operation(args, _is_open, Conductor.resume)


def _is_open(journals: Journals, name: str) -> bool:
    return journals.read(name).finished is None and undone_by(journals, name) is None
