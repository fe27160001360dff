"""Replace a memory device that has begun to fail, while the machine runs.

Its blocks go offline, it is ejected, the new one is added, and every block
comes online again in the zone that it had. Where a block refuses to go,
everything is put back. The device is named, or found by a block of it or by an
address in it. Where a slot is free, the new one can come first (--add-first),
so that what lies in the old one has a place to go.

On this host (-M linux:), and elsewhere with --by-hand, a person changes the
device: memhp empties and ejects it and ends with code 7; once the new one is in
its place, 'memhp resume' brings its blocks online, even days later.

  memhp replace dimm1 -M model:server
  memhp replace memory48 -M model:server
  memhp replace --address 0x1480000000 -M model:server
  memhp replace PNP0C80:03 -M linux:
"""

import re
import sys
from argparse import ArgumentParser, Namespace
from dataclasses import replace

from memhp.core.errors import ArgumentError
from memhp.core.machine import Particular
from memhp.core.request import Replace
from memhp.core.snapshot import Snapshot, Want
from memhp.core.targets import Blocks, DeviceTarget, parse_target
from memhp.core.words import ExitCode
from memhp.interfaces.cli.carry_out import add_change_options, carry_out
from memhp.interfaces.cli.options import machine_of
from memhp.interfaces.cli.output import forget_output
from memhp.interfaces.cli.show_map import show_map
from memhp.operations.plan_physical import device_to_replace, take_out_steps

SUMMARY = "replace a failing memory device"
_ADDRESS = re.compile(r"0x[0-9a-f]{1,16}", re.IGNORECASE | re.ASCII)


def add_arguments(parser: ArgumentParser) -> None:
    """Describe the command's arguments and options."""
    parser.add_argument(
        "what", nargs="?", metavar="DEVICE|BLOCK", help="the device, by name or by a block of it"
    )
    parser.add_argument(
        "--address", metavar="0x...", help="the device that has this physical address"
    )
    parser.add_argument(
        "--add-first", action="store_true", help="add the new device before the old one goes"
    )
    parser.add_argument(
        "--by-hand", action="store_true", help="a person puts the new device in: wait for it"
    )
    add_change_options(parser, out=True)


def run(args: Namespace) -> ExitCode:
    """Carry it out, with the memory map before and after for a person."""
    request = _by_hand(_request(args), args)
    with_map = not args.json and not args.dry_run
    if with_map and machine_of(args).can:
        snapshot = machine_of(args).snapshot(Want.BLOCKS | Want.DEVICES)
        take_out_steps(request, snapshot, device_to_replace(request, snapshot))
        _map(snapshot, "before")
    code = carry_out(request, args)
    if with_map and machine_of(args).lasts:
        _map(machine_of(args).snapshot(Want.BLOCKS | Want.DEVICES), "after")
    return code


def _request(args: Namespace) -> Replace:
    """What is to be replaced; raises ``ArgumentError`` unless it is named in one way."""
    if args.by_hand and args.add_first:
        raise ArgumentError(
            text="--by-hand",
            problem="and --add-first do not go together",
            advice="put the new device in, bring it online, and then remove the old one",
        )
    if (args.what is None) is (args.address is None):
        raise ArgumentError(
            text=args.what or "replace",
            problem="is named twice" if args.what else "needs to know what",
            advice="give a device, a block of it, or --address",
        )
    if args.address is not None:
        return Replace(address=_address(args.address), add_first=args.add_first)
    target = parse_target(args.what)
    match target:
        case DeviceTarget(name=name):
            return Replace(device=name, add_first=args.add_first)
        case Blocks(blocks=(block,)):
            return Replace(block=block, add_first=args.add_first)
    raise ArgumentError(
        text=args.what,
        problem="is no device",
        advice="give its name, as dimm0, or one of its blocks",
    )


def _by_hand(request: Replace, args: Namespace) -> Replace:
    """The request as the machine can have it carried out; raises ``ArgumentError``."""
    machine = machine_of(args)
    inside = isinstance(machine, Particular) and machine.plugged_by_hand
    if inside and request.add_first:
        raise ArgumentError(
            text="--add-first",
            problem=f"cannot be done by {machine.name}, where a person puts devices in",
            advice="put the new device in, bring it online, and then remove the old one",
        )
    return replace(request, by_hand=args.by_hand or inside)


def _address(text: str) -> int:
    if not _ADDRESS.fullmatch(text):
        raise ArgumentError(
            text=text, problem="is no address", advice="give one as the kernel does, as 0x140000000"
        )
    return int(text, 16)


def _map(snapshot: Snapshot, when: str) -> None:
    """Print the map; the work goes on though nobody reads."""
    try:
        print(f"memory map {when}:")
        show_map(snapshot)
        sys.stdout.flush()
    except OSError:
        forget_output()
