"""The commands, in the order in which help shows them.

A command is a module with ``SUMMARY``, ``add_arguments(parser)`` and
``run(args) -> int``: an ``ExitCode``, or what another program ended with. Only
the module of the command that is asked for is imported, so that ``memhp ls``
starts fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:  # argparse is imported where a parser is built
    from argparse import ArgumentParser, Namespace


class Command(Protocol):
    """What a command's module offers."""

    SUMMARY: str

    def add_arguments(self, parser: "ArgumentParser") -> None:
        """Describe the command's arguments and options."""

    def run(self, args: "Namespace") -> int:
        """Do it; results to stdout, everything else to stderr."""


NAMES = (
    "ls",
    "census",
    "explain",
    "boot",
    "online",
    "offline",
    "add",
    "remove",
    "resize",
    "evacuate",
    "replace",
    "move",
    "apply",
    "resume",
    "undo",
    "log",
    "watch",
    "model",
    "trace",
    "lab",
    "completion",
    "man",
)
_MODULES = {name: f"memhp.interfaces.cli.cmd_{name}" for name in NAMES}


def command(name: str) -> Command:
    """Import one command; raises ``KeyError`` for a name that is none."""
    return cast("Command", import_module(_MODULES[name]))
