"""Put back what an operation has changed, each block in the zone that it had.

It works on an operation that has ended and on one that was killed half-way.
Without a number it is the last one.

  memhp undo
  memhp undo 7
"""

from argparse import ArgumentParser, Namespace

from memhp.core.words import ExitCode
from memhp.interfaces.cli.past_operation import add_operation_arguments, with_operation
from memhp.operations.conduct import Conductor

SUMMARY = "put back what an operation has changed"


def add_arguments(parser: ArgumentParser) -> None:
    """Describe the command's arguments and options."""
    add_operation_arguments(parser)


def run(args: Namespace) -> ExitCode:
    """Open the operation's machine and go back."""
    return with_operation(args, lambda _journals, _name: True, Conductor.undo)
