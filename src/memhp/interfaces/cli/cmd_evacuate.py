"""Empty a node, a device, or some amount of memory: take all its blocks offline.

Unlike 'offline' it is refused before anything is touched where a block can
certainly not go, unless a part is enough (--at-least).

  memhp evacuate node1 -M model:server
  memhp evacuate dimm1 --all-or-nothing -M model:server
"""

from argparse import ArgumentParser, Namespace

from memhp.core.request import Evacuate
from memhp.core.targets import parse_target
from memhp.core.words import ExitCode
from memhp.interfaces.cli.carry_out import add_change_options, carry_out

SUMMARY = "empty a node, a device, or an amount of memory"


def add_arguments(parser: ArgumentParser) -> None:
    """Describe the command's arguments and options."""
    parser.add_argument("targets", nargs="+", metavar="TARGET", help="node, device, size, blocks")
    add_change_options(parser, blocks=True, out=True)


def run(args: Namespace) -> ExitCode:
    """Carry it out."""
    targets = tuple(parse_target(word) for word in args.targets)
    return carry_out(Evacuate(targets=targets), args)
