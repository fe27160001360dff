"""``memhp`` alone: the machine on one screen."""

import sys
from argparse import Namespace

from memhp.core.machine import Cautious
from memhp.core.snapshot import Want
from memhp.core.words import ExitCode
from memhp.interfaces.cli.colour import paint_for_stdout
from memhp.interfaces.cli.options import LIVE, address_of
from memhp.interfaces.cli.show import print_json
from memhp.interfaces.cli.show_machine import show_machine
from memhp.machines.open import open_machine


def show_overview(args: Namespace) -> ExitCode:
    """Print the machine that was named, or this host."""
    machine = open_machine(address_of(args) or LIVE)
    snapshot = machine.snapshot(Want.ALL)
    if args.json:
        print_json(snapshot)
    else:
        show_machine(snapshot, paint_for_stdout())
    if not snapshot.blocks and isinstance(machine, Cautious):
        for sentence in machine.cautions():
            print(f"note: {sentence}", file=sys.stderr)
    return ExitCode.DONE
