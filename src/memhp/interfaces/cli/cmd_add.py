"""Hot-add memory: a device that waits in its slot, or a new one of some size.

Whether the new blocks come online by themselves, and in which zone, is the
machine's policy (auto_online_blocks), unless a zone is asked for.

  memhp add dimm2 -M model:server
  memhp add 4G --node 1 --zone movable -M model:server
"""

from argparse import ArgumentParser, Namespace

from memhp.core.errors import ArgumentError
from memhp.core.geometry import NodeId
from memhp.core.request import Add
from memhp.core.targets import Amount, DeviceTarget, NodeTarget, parse_target
from memhp.core.words import ExitCode
from memhp.interfaces.cli.carry_out import add_change_options, carry_out
from memhp.interfaces.cli.zone_option import add_zone_option, zone_of

SUMMARY = "hot-add a memory device"


def add_arguments(parser: ArgumentParser) -> None:
    """Describe the command's arguments and options."""
    parser.add_argument("what", metavar="DEVICE|SIZE", help="a waiting device, or a size as 4G")
    parser.add_argument("--node", metavar="N", help="the node of a new device (0)")
    add_zone_option(parser, "bring its blocks online in this zone (the machine's policy)")
    add_change_options(parser)


def run(args: Namespace) -> ExitCode:
    """Carry it out."""
    return carry_out(_request(args), args)


def _request(args: Namespace) -> Add:
    node, zone = None if args.node is None else _node(args.node), zone_of(args)
    match parse_target(args.what):
        case Amount(size_bytes=size_bytes):
            return Add(size_bytes=size_bytes, node=node, zone=zone)
        case DeviceTarget(name=name) if node is None:
            return Add(device=name, zone=zone)
        case DeviceTarget():
            raise ArgumentError(
                text="--node", problem="is for a new device", advice="leave it out here"
            )
    raise ArgumentError(
        text=args.what, problem="cannot be added", advice="give a device or a size, as 4G"
    )


def _node(word: str) -> NodeId:
    target = parse_target(word if word.startswith("node") else f"node{word}")
    if isinstance(target, NodeTarget):
        return target.node
    raise ArgumentError(text=word, problem="is no node", advice="give its number, as 1")
