"""Move memory from one machine to another, as between two guests of a host.

What moves is chosen at the giver: virtio-mem devices first, which give exactly
what is wanted, else whole DIMMs, those that leave the least over. It is taken
out, then given, then brought online. The giver keeps a reserve, and the host
never promises more than it has. Where the giver cannot free all of it, the
part that it could is moved, or with --all-or-nothing the giver becomes whole
again; where the taker does not take it, the giver does.

  memhp move 2G --from model:rack1.machine/web --to model:rack1.machine/database
  memhp move 4G --from model:h.machine/legacy --to model:h.machine/web --all-or-nothing
"""

from argparse import ArgumentParser, Namespace

from memhp.core.errors import ArgumentError
from memhp.core.machine import Machine
from memhp.core.request import Move
from memhp.core.targets import parse_size
from memhp.core.words import ExitCode
from memhp.interfaces.cli.carry_out import add_change_options, carry_out_on
from memhp.interfaces.cli.options import named_by_hand
from memhp.interfaces.cli.zone_option import ZONES, add_zone_option
from memhp.machines.open import open_machine

SUMMARY = "move memory from one machine to another"


def add_arguments(parser: ArgumentParser) -> None:
    """Describe the command's arguments and options."""
    parser.add_argument("size", metavar="SIZE", help="how much, as 2G")
    parser.add_argument(
        "--from", dest="giver", metavar="ADDRESS", required=True, help="the machine that gives"
    )
    parser.add_argument(
        "--to", dest="taker", metavar="ADDRESS", required=True, help="the machine that takes"
    )
    parser.add_argument(
        "--reserve",
        metavar="SIZE",
        help="what the giver keeps online at least (an eighth of what it has, and 512M at least)",
    )
    add_zone_option(parser, "the zone that it comes online in at the taker", "default")
    add_change_options(parser, blocks=True, machine=False)


def run(args: Namespace) -> ExitCode:
    """Carry it out."""
    request = Move(
        size_bytes=parse_size(args.size),
        giver=args.giver,
        taker=args.taker,
        zone=ZONES[args.zone],
        reserve_bytes=None if args.reserve is None else parse_size(args.reserve),
    )
    if named_by_hand(args):
        raise ArgumentError(
            text="-M", problem="is not for moving", advice="name the machines with --from and --to"
        )
    giver, taker = open_machine(args.giver), open_machine(args.taker)
    _check(giver, taker)
    return carry_out_on({args.giver: giver, args.taker: taker}, request, args)


def _check(giver: Machine, taker: Machine) -> None:
    """Two machines, and both in the journal or none; raises ``ArgumentError``."""
    if giver.identity == taker.identity:
        raise ArgumentError(
            text=taker.name, problem="is the machine that gives, too", advice="name another"
        )
    if giver.lasts != taker.lasts:
        brief = taker if giver.lasts else giver
        raise ArgumentError(
            text=brief.name,
            problem="does not last, and the other machine does",
            advice="make one that lasts, with 'memhp model new'",
        )
