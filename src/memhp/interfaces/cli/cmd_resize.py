"""Give a virtio-mem device another size, or take memory back from it.

A size is absolute, or with a sign a change of what was asked for last. The guest
decides how much it can free; it is asked until the deadline, and what it has
not done then is withdrawn: the device stays as it is, and memhp says how much
that is.

  memhp resize virtio-mem0 6G -M model:rack1.machine/web
  memhp resize virtio-mem0 +2G --zone movable -M model:rack1.machine/web
  memhp resize virtio-mem0 -1G --deadline 5m -M model:rack1.machine/web
"""

from argparse import ArgumentParser, Namespace

from memhp.core.request import Resize
from memhp.core.targets import parse_size
from memhp.core.words import ExitCode
from memhp.interfaces.cli.carry_out import add_change_options, carry_out
from memhp.interfaces.cli.device_word import device_named
from memhp.interfaces.cli.zone_option import add_zone_option, zone_of

SUMMARY = "give a virtio-mem device another size"


def add_arguments(parser: ArgumentParser) -> None:
    """Describe the command's arguments and options."""
    parser.add_argument("device", metavar="DEVICE", help="the device, by name")
    parser.add_argument("size", metavar="SIZE", help="a size in all as 6G, or a change as +1G, -1G")
    add_zone_option(parser, "bring what comes online in this zone (the machine's policy)")
    add_change_options(parser, blocks=True)


def run(args: Namespace) -> ExitCode:
    """Carry it out."""
    device, text, zone = device_named(args.device), args.size.strip(), zone_of(args)
    if text[:1] in {"+", "-"}:
        sign = -1 if text[0] == "-" else 1
        request = Resize(device=device, by_bytes=sign * parse_size(text[1:]), zone=zone)
    else:
        request = Resize(device=device, size_bytes=_size(text), zone=zone)
    return carry_out(request, args)


def _size(text: str) -> int:
    """A size, which may be nothing at all here: everything is taken back."""
    return 0 if text == "0" else parse_size(text)
