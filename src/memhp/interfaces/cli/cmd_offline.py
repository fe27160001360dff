"""Take memory blocks offline.

The kernel moves what lies in a block elsewhere, which works for user data and
not for its own. A block that refuses is left, with the reason, and the others
are tried; with --all-or-nothing everything is put back instead.

  memhp offline memory39 -M model:server
  memhp offline node1 -M model:server
"""

from argparse import ArgumentParser, Namespace

from memhp.core.request import Offline
from memhp.core.targets import parse_target
from memhp.core.words import ExitCode
from memhp.interfaces.cli.carry_out import add_change_options, carry_out

SUMMARY = "take memory blocks offline"


def add_arguments(parser: ArgumentParser) -> None:
    """Describe the command's arguments and options."""
    parser.add_argument("targets", nargs="+", metavar="TARGET", help="blocks, node, device, size")
    add_change_options(parser, blocks=True, out=True)


def run(args: Namespace) -> ExitCode:
    """Carry it out."""
    request = Offline(targets=tuple(parse_target(word) for word in args.targets))
    return carry_out(request, args)
