"""The parser: built for one command, or for all where help or the man page needs it."""

import argparse
import os
import re
import sys
from collections.abc import Iterable, Sequence
from typing import NoReturn

from memhp import __version__
from memhp.interfaces.cli.commands import NAMES, command
from memhp.interfaces.cli.options import add_machine_option

DESCRIPTION = """\
Memory hotplug for Linux: look at a machine's memory, take it out, put it in.
Without a command: the machine on one screen."""
_USUAL_COLUMNS = 80
_LESS = re.compile(r"-[0-9]+[KMGTPE](?:iB)?", re.IGNORECASE | re.ASCII)
EPILOG = """\
targets:
  memory32  32-39  32,35        memory blocks (a bare number is always a block)
  4G  512MiB                    a size
  0x100000000-0x13fffffff       addresses, both ends included
  node1                         a node
  dimm0  PNP0C80:03             a device, by the name the machine gives it

exit codes:
  0 done   1 refused, nothing changed   2 wrong words   3 no such machine, or
  it cannot be read   4 changed since the plan   5 locked by another writer
  6 outcome unknown   7 waits for a person   8 recordings differ
  64 partly done   70 a fault of memhp   130 interrupted
"""


class _Help(argparse.RawDescriptionHelpFormatter):
    """Help as wide as the terminal; argparse asks for it with every argument, so it has to be fast.

    (Left alone it imports ``shutil`` for that, a twentieth of a command's start.)
    """

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=max(_columns() - 2, 20))


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are one sentence and exit code 2."""

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Take a size with a minus for a word: argparse takes it for an option.

        One with a blank in front is none to it, and that means nothing to us.
        """
        words = sys.argv[1:] if args is None else args
        shielded = [f" {word}" if _LESS.fullmatch(word) else word for word in words]
        return super().parse_known_args(shielded, namespace)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the words, and where to read on."""
        self.exit(2, f"memhp: {message}; see '{self.prog} --help'\n")


def build_parser(names: Iterable[str] = NAMES) -> Parser:
    """Build the parser with these commands."""
    parser = Parser(
        prog="memhp",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=_Help,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"memhp {__version__}")
    add_machine_option(parser, everywhere=True)
    parser.add_argument("--json", action="store_true", help="print the overview as JSON")
    commands = parser.add_subparsers(
        title="commands", dest="command", metavar="COMMAND", parser_class=Parser
    )
    for name in names:
        module = command(name)
        sub = commands.add_parser(
            name,
            help=module.SUMMARY,
            description=(module.__doc__ or "").strip(),
            formatter_class=_Help,
            allow_abbrev=False,
        )
        module.add_arguments(sub)
    return parser


def _columns() -> int:
    """The width of the terminal, or what ``COLUMNS`` says."""
    try:
        return int(os.environ["COLUMNS"])
    except (KeyError, ValueError):
        pass
    try:
        # A serial console does not know its width, and says 0.
        return os.get_terminal_size(sys.stdout.fileno()).columns or _USUAL_COLUMNS
    except (OSError, ValueError, AttributeError):
        return _USUAL_COLUMNS
