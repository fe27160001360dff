"""Put back what an operation has changed, each block in the zone that it had.

It works on an operation that has ended and on one that was killed half-way.
Without a number it is the last one. Where one of the machines that it was about
is gone, or was booted since, the other alone can be put back (--only).

  memhp undo
  memhp undo 7
  memhp undo 7 --only model:rack1.machine/web
"""

from argparse import ArgumentParser, Namespace

from memhp.core.words import Ending, ExitCode
from memhp.interfaces.cli.past_operation import add_operation_arguments, with_operation
from memhp.operations.conduct import Conductor

SUMMARY = "put back what an operation has changed"


def add_arguments(parser: ArgumentParser) -> None:
    """Describe the command's arguments and options."""
    add_operation_arguments(parser)
    parser.add_argument(
        "--only", metavar="ADDRESS", help="put back this one of the operation's machines alone"
    )


def run(args: Namespace) -> ExitCode:
    """Open the operation's machine and go back."""

    def undo(conductor: Conductor, name: str) -> Ending:
        return conductor.undo(name, only=args.only is not None)

    return with_operation(args, lambda _journals, _name: True, undo, only=args.only)
