"""``memhp`` alone: the machine on one screen."""

from argparse import Namespace

from memhp.core.snapshot import Want
from memhp.core.words import ExitCode
from memhp.interfaces.cli.colour import paint_for_stdout
from memhp.interfaces.cli.options import LIVE, address_of
from memhp.interfaces.cli.show import print_json
from memhp.interfaces.cli.show_machine import show_machine
from memhp.machines.open import open_machine


def show_overview(args: Namespace) -> ExitCode:
    """Print the machine that was named, or this host."""
    snapshot = open_machine(address_of(args) or LIVE).snapshot(Want.ALL)
    if args.json:
        print_json(snapshot)
    else:
        show_machine(snapshot, paint_for_stdout())
    return ExitCode.DONE
