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
from memhp.core.words import ExitCode, OnlineType
from memhp.interfaces.cli.carry_out import carry_out
from memhp.interfaces.cli.options import add_json_option, add_machine_option, machine_of
from memhp.operations.plan_logical import WANT, plan_online

SUMMARY = "bring memory blocks online"
_TYPES = {
    "default": OnlineType.ONLINE,
    "kernel": OnlineType.ONLINE_KERNEL,
    "movable": OnlineType.ONLINE_MOVABLE,
}


def add_arguments(parser: ArgumentParser) -> None:
    """Describe the command's arguments and options."""
    parser.add_argument("targets", nargs="+", metavar="TARGET", help="blocks, node, device, size")
    parser.add_argument("--zone", choices=_TYPES, default="default", help="the zone to online into")
    add_machine_option(parser)
    add_json_option(parser)


def run(args: Namespace) -> ExitCode:
    """Plan from a fresh snapshot and carry it out."""
    request = Online(
        targets=tuple(parse_target(word) for word in args.targets), online_type=_TYPES[args.zone]
    )
    machine = machine_of(args)
    return carry_out(plan_online(request, machine.snapshot(WANT)), machine, args)
