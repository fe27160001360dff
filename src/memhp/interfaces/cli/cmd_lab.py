"""Throwaway guests under QEMU, to try things on a real kernel.

A guest boots in about five seconds, without root and without KVM. Its kernel is
Debian's, downloaded once with apt and never installed. Every command takes it
as -M lab:NAME; with an agent in it, as -M qemu:NAME too.

  memhp lab up g1 --kernel 6.12 --node 1G --node 0 --dimm 512M@1 --virtio-mem 1G@1
  memhp add 1G --node 1 -M lab:g1
  memhp online 40 --zone movable -M lab:g1
  memhp lab sh g1 cat /proc/iomem
  memhp lab down g1
"""

import sys
from argparse import REMAINDER, ArgumentParser, Namespace
from pathlib import Path

from memhp.core.errors import ArgumentError
from memhp.core.geometry import MIB, NodeId
from memhp.core.guest_shape import BootDimm, GuestShape, VirtioMemShape
from memhp.core.targets import parse_size
from memhp.core.words import ExitCode
from memhp.interfaces.cli.lab_pages import add_pages_arguments, run_pages
from memhp.interfaces.cli.options import add_json_option
from memhp.interfaces.cli.show import print_json
from memhp.machines.lab.accelerator import Accel
from memhp.machines.lab.carried import Carried
from memhp.machines.lab.guest import Guest, guests
from memhp.machines.lab.kernels import KERNELS

SUMMARY = "throwaway guests with real kernels"


def add_arguments(parser: ArgumentParser) -> None:
    """Describe the command's arguments and options."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    up = actions.add_parser("up", description="Boot a guest.")
    up.add_argument("name", metavar="NAME")
    up.add_argument(
        "--kernel",
        default=KERNELS[0],
        metavar=f"{'|'.join(KERNELS)}|PATH",
        help="which kernel to boot; that at a PATH brings the modules it was installed with",
    )
    _add_memory_options(up)
    up.add_argument("--cmdline", default="", metavar="TEXT", help="more for the command line")
    up.add_argument(
        "--program",
        action="append",
        default=[],
        metavar="NAME",
        help="a program of this host that it gets, with its libraries",
    )
    up.add_argument(
        "--accel",
        choices=list(Accel),
        default=Accel.AUTO,
        help="what runs it; auto is KVM where a guest boots under it, else TCG",
    )
    _add_device_options(up)
    add_json_option(up)
    shell = actions.add_parser("sh", description="Run a command in a guest.")
    add_json_option(shell)
    shell.add_argument("name", metavar="NAME")
    shell.add_argument("words", nargs=REMAINDER, metavar="COMMAND", help="what to run")
    down = actions.add_parser("down", description="End a guest and take away what it left.")
    down.add_argument("name", metavar="NAME")
    add_json_option(down)
    add_json_option(actions.add_parser("list", description="Show the guests."))
    add_pages_arguments(actions)


def run(args: Namespace) -> int:
    """Do what was asked for."""
    match args.action:
        case "up":
            programs = Carried(programs=tuple(args.program))
            accel = Guest(args.name).up(_shape(args), programs, accel=Accel(args.accel))
            _say(args, f"up under {accel.upper()}")
        case "sh":
            return _run(args)
        case "pages":
            return run_pages(args)
        case "down":
            Guest(args.name).down()
            _say(args, "down")
        case _:
            _list(args)
    return ExitCode.DONE


def _say(args: Namespace, standing: str) -> None:
    if args.json:
        print_json({"machine": f"lab:{args.name}", "standing": standing})
    else:
        print(f"lab:{args.name} is {standing}", file=sys.stderr)


def _run(args: Namespace) -> int:
    """Run a command as if it ran here: what it prints comes at once, and its exit code is ours."""
    if not args.words:
        raise ArgumentError(
            text="sh", problem="needs a command", advice="as in 'memhp lab sh g1 dmesg'"
        )
    printed: list[str] = []
    with Guest(args.name).shell() as shell:
        code = shell.follow(
            " ".join(args.words),
            printed.append if args.json else _print_now,
            # Programs colour and draw what goes to a terminal, and the serial line is one.
            piped=args.json or not sys.stdout.isatty(),
        )
    if args.json:
        print_json({"code": code, "text": "".join(printed)})
    return code


def _print_now(text: str) -> None:
    print(text, end="", flush=True)


def _list(args: Namespace) -> None:
    rows = [
        {"name": guest.name, "pid": guest.pid, "accel": guest.accel, "shape": guest.shape}
        for guest in guests()
        if (guest.folder / "shape.json").exists()
    ]
    if args.json:
        print_json(rows)
        return
    for guest in guests():
        standing = "down" if guest.pid is None else f"process {guest.pid}, {guest.accel.upper()}"
        print(f"lab:{guest.name}  {standing}")


def _add_memory_options(up: ArgumentParser) -> None:
    memory = up.add_mutually_exclusive_group()
    memory.add_argument("--memory", metavar="SIZE", help="memory of a guest with one node (1G)")
    memory.add_argument(
        "--node",
        action="append",
        metavar="SIZE",
        help="memory of the next node; 0 for one that gets it later",
    )
    memory.add_argument("--nodes", metavar="SIZES", help="the same for all nodes at once, as 1G,0")


def _add_device_options(up: ArgumentParser) -> None:
    up.add_argument(
        "--dimm",
        action="append",
        default=[],
        metavar="SIZE[@NODE]",
        help="a DIMM that is there at boot, as 512M@1",
    )
    up.add_argument(
        "--virtio-mem",
        action="append",
        default=[],
        metavar="SIZE[@NODE]",
        help="a virtio-mem device, empty at boot, as 1G@1",
    )
    up.add_argument(
        "--agent", action="store_true", help="run QEMU's guest agent in it, for -M qemu:NAME"
    )
    up.add_argument(
        "--share-host-root",
        action="store_true",
        help="let it see this host's files in /host, where 'host PROGRAM' runs one",
    )
    up.add_argument(
        "--hotpluggable-node",
        action="append",
        default=[],
        type=int,
        metavar="N",
        help="flag a node's boot memory as hot-pluggable in the SRAT",
    )


def _shape(args: Namespace) -> GuestShape:
    nodes = _nodes(args.nodes or args.memory or ",".join(args.node or ["1G"]))
    for node in args.hotpluggable_node:
        _known_node(str(node), str(node), nodes)
    sticks = [_sized(text, nodes) for text in args.dimm]
    devices = [_sized(text, nodes) for text in args.virtio_mem]
    return GuestShape(
        kernel=args.kernel if args.kernel in KERNELS else str(Path(args.kernel).absolute()),
        nodes=nodes,
        command_line=args.cmdline,
        hotpluggable_nodes=tuple(NodeId(node) for node in args.hotpluggable_node),
        dimms=tuple(BootDimm(size_bytes=size, node=node) for size, node in sticks),
        virtio_mem=tuple(VirtioMemShape(size_bytes=size, node=node) for size, node in devices),
        agent=args.agent,
        shares_root=args.share_host_root,
    )


def _nodes(text: str) -> tuple[int, ...]:
    """Bytes of each node; a node of 0 gets its memory later."""
    sizes = tuple(0 if word == "0" else parse_size(word) for word in text.split(","))
    if not sizes[0] or any(size % MIB for size in sizes):
        raise ArgumentError(
            text=text, problem="gives node 0 nothing to boot with", advice="give sizes as 1G,0"
        )
    return sizes


def _sized(text: str, nodes: tuple[int, ...]) -> tuple[int, NodeId]:
    """A size and the node behind it; node 0 where none is named."""
    size, _, node = text.partition("@")
    return parse_size(size), _known_node(text, node or "0", nodes)


def _known_node(text: str, node: str, nodes: tuple[int, ...]) -> NodeId:
    if not node.isdecimal() or int(node) >= len(nodes):
        raise ArgumentError(
            text=text,
            problem=f"names no node of this guest, which has {len(nodes)}",
            advice="'--nodes 1G,0' makes two, 0 and 1",
        )
    return NodeId(int(node))
