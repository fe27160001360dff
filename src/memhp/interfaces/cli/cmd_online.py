"""Bring memory blocks online.

The word decides the zone: plain 'online' lets the kernel choose, 'kernel' puts
the blocks where kernel data may lie too, 'movable' where nothing but movable
pages lies, so that they can go offline again.

  memhp online 32-39 --zone movable -M model:server
  memhp online node1 -M model:server
"""

from argparse import ArgumentParser, Namespace

from memhp.core.request import Online
from memhp.core.targets import parse_target
from memhp.core.words import ExitCode
from memhp.interfaces.cli.carry_out import add_change_options, carry_out
from memhp.interfaces.cli.zone_option import ZONES, add_zone_option

SUMMARY = "bring memory blocks online"


def add_arguments(parser: ArgumentParser) -> None:
    """Describe the command's arguments and options."""
    parser.add_argument("targets", nargs="+", metavar="TARGET", help="blocks, node, device, size")
    add_zone_option(parser, "the zone to online into", "default")
    add_change_options(parser, blocks=True)


def run(args: Namespace) -> ExitCode:
    """Carry it out."""
    request = Online(
        targets=tuple(parse_target(word) for word in args.targets), online_type=ZONES[args.zone]
    )
    return carry_out(request, args)
