"""Print the manual page, made from the same source as --help.

memhp man | man -l -
"""

from argparse import ArgumentParser, Namespace

from memhp.core.words import ExitCode
from memhp.interfaces.cli.man_page import man_page
from memhp.interfaces.cli.parser import build_parser

SUMMARY = "print the manual page"


def add_arguments(parser: ArgumentParser) -> None:
    """Take no arguments."""


def run(_args: Namespace) -> ExitCode:
    """Make the page from the parser itself."""
    print(man_page(build_parser()), end="")
    return ExitCode.DONE
