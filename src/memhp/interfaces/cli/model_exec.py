"""``memhp model exec``: one command that takes the model for the machine that it runs on."""

import sys
from argparse import REMAINDER, ArgumentParser, Namespace
from pathlib import Path

from memhp.core.errors import ArgumentError
from memhp.interfaces.cli.model_mount import check_named
from memhp.interfaces.cli.parser import Parser

_ABOUT = """\
Run a command on a model machine: it finds the model's files in the place of this
host's, in /sys and /proc, and nobody else does. Nothing is started unless every
one of them is in place. As root, or in a user namespace.

  memhp model exec server -- lsmem
  memhp model exec rack1.machine -- chmem --disable 2g
"""


def add_exec(parser: ArgumentParser) -> None:
    """Describe the arguments of ``model exec``."""
    parser.description = _ABOUT
    _add_uevents(parser)
    parser.add_argument(
        "source", metavar="MACHINE", help="a shipped machine, a TOML file, or a state file"
    )
    parser.add_argument(
        "words", nargs=REMAINDER, metavar="-- COMMAND", help="what to run, and its arguments"
    )


def run_exec(args: Namespace) -> int:
    """Run the command; returns its own exit code, or 128 and the signal that killed it."""
    # Not needed to describe the arguments.
    from memhp.serving.exec_command import exec_command  # noqa: PLC0415
    from memhp.serving.exec_inside import Job  # noqa: PLC0415
    from memhp.serving.mounted import start_mounted  # noqa: PLC0415

    check_named(args.source)
    uevents, command = _parted(args)
    job = Job(
        address=args.source,
        command=command,
        start=lambda address, folder, socket: start_mounted(address, folder, uevents=socket),
        uevents=uevents,
        folder=_folder(),
    )
    sys.stdout.flush()
    ended = exec_command(job)
    if ended.problem:
        print(f"memhp: '{command[0]}' cannot be run: {ended.problem}", file=sys.stderr)
    return ended.code


def _parted(args: Namespace) -> tuple[Path | None, list[str]]:
    """Part the options that stand behind the machine from the command."""
    before, command = [], list(args.words)
    if command and command[0].startswith("-") and "--" in command:
        mark = command.index("--")
        before, command = command[:mark], command[mark + 1 :]
    options = Parser(prog="memhp model exec")
    _add_uevents(options)
    uevents = options.parse_args(before).uevents or args.uevents
    if not command or not command[0] or command[0].startswith("-"):
        raise ArgumentError(
            text="exec",
            problem="needs a command",
            advice="as in 'memhp model exec server -- lsmem'",
        )
    return uevents and Path(uevents), command


def _add_uevents(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--uevents", metavar="SOCKET", help="a socket to make, at which uevents can be read"
    )


def _folder() -> str:
    """The folder to start in; the root where it is gone, or what it lay in."""
    try:
        return str(Path.cwd())
    except OSError:
        return "/"
