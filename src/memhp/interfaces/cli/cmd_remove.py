"""Hot-remove a memory device.

Its blocks go offline one by one, then it is ejected. Where a block refuses, the
others come online again in the zone that they had, and the device stays. (The
eject request alone would take the blocks offline too; when that fails, the
kernel brings them back by policy, perhaps in another zone.)

On this host (-M linux:) that is an ACPI device, or a dax device, which its driver
kmem then lets go. Nothing inside a machine can put an ACPI device back.

  memhp remove dimm1 -M model:server
  memhp remove PNP0C80:03 -M linux:
  memhp remove dax0.0 -M linux:
"""

from argparse import ArgumentParser, Namespace

from memhp.core.request import Remove
from memhp.core.words import ExitCode
from memhp.interfaces.cli.carry_out import add_change_options, carry_out
from memhp.interfaces.cli.device_word import device_named

SUMMARY = "hot-remove a memory device"


def add_arguments(parser: ArgumentParser) -> None:
    """Describe the command's arguments and options."""
    parser.add_argument("device", metavar="DEVICE", help="the device, by name")
    add_change_options(parser, out=True)


def run(args: Namespace) -> ExitCode:
    """Carry it out."""
    return carry_out(Remove(device=device_named(args.device)), args)
