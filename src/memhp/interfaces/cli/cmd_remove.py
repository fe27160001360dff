"""Hot-remove a memory device.

The eject request makes the kernel take the device's blocks offline by itself;
where one refuses, the others come online again and the device stays. Take the
blocks offline first to keep each in its zone.

  memhp remove dimm1 -M model:server
"""

from argparse import ArgumentParser, Namespace

from memhp.core.errors import ArgumentError
from memhp.core.request import Remove
from memhp.core.targets import DeviceTarget, parse_target
from memhp.core.words import ExitCode
from memhp.interfaces.cli.carry_out import carry_out
from memhp.interfaces.cli.options import add_json_option, add_machine_option, machine_of
from memhp.operations.plan_physical import WANT, plan_remove

SUMMARY = "hot-remove a memory device"


def add_arguments(parser: ArgumentParser) -> None:
    """Describe the command's arguments and options."""
    parser.add_argument("device", metavar="DEVICE", help="the device, by name")
    add_machine_option(parser)
    add_json_option(parser)


def run(args: Namespace) -> ExitCode:
    """Plan from a fresh snapshot and carry it out."""
    target = parse_target(args.device)
    if not isinstance(target, DeviceTarget):
        raise ArgumentError(
            text=args.device, problem="is no device", advice="give its name, as dimm0"
        )
    machine = machine_of(args)
    plan = plan_remove(Remove(device=target.name), machine.snapshot(WANT))
    return carry_out(plan, machine, args)
