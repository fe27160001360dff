"""Replace a memory device that has begun to fail, while the machine runs.

Its blocks go offline, it is ejected, the new one is added, and every block
comes online again in the zone that it had. Where a block refuses to go,
everything is put back.

  memhp replace dimm1 -M model:server
"""

import sys
from argparse import ArgumentParser, Namespace

from memhp.core.request import Replace
from memhp.core.snapshot import Snapshot, Want
from memhp.core.words import ExitCode
from memhp.interfaces.cli.carry_out import add_change_options, carry_out
from memhp.interfaces.cli.device_word import device_named
from memhp.interfaces.cli.options import machine_of
from memhp.interfaces.cli.output import forget_output
from memhp.interfaces.cli.show_map import show_map
from memhp.operations.resolve import device_meant

SUMMARY = "replace a failing memory device"


def add_arguments(parser: ArgumentParser) -> None:
    """Describe the command's arguments and options."""
    parser.add_argument("device", metavar="DEVICE", help="the device, by name")
    add_change_options(parser)


def run(args: Namespace) -> ExitCode:
    """Carry it out, with the memory map before and after for a person."""
    device = device_named(args.device)
    with_map = not args.json and not args.dry_run
    if with_map:
        snapshot = machine_of(args).snapshot(Want.BLOCKS | Want.DEVICES)
        device_meant(device, snapshot)
        _map(snapshot, "before")
    code = carry_out(Replace(device=device), args)
    if with_map and machine_of(args).lasts:
        _map(machine_of(args).snapshot(Want.BLOCKS | Want.DEVICES), "after")
    return code


def _map(snapshot: Snapshot, when: str) -> None:
    """Print the map; the work goes on though nobody reads."""
    try:
        print(f"memory map {when}:")
        show_map(snapshot)
        sys.stdout.flush()
    except OSError:
        forget_output()
