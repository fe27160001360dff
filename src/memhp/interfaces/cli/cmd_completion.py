"""Print a completion script for your shell.

memhp completion bash > ~/.local/share/bash-completion/completions/memhp
"""

from argparse import ArgumentParser, Namespace

from memhp.core.words import ExitCode
from memhp.interfaces.cli.parser import build_parser

SUMMARY = "print a completion script for your shell"


def add_arguments(parser: ArgumentParser) -> None:
    """Describe the command's arguments and options."""
    parser.add_argument("shell", choices=("bash", "zsh", "tcsh"))


def run(args: Namespace) -> ExitCode:
    """Make the script from the parser itself."""
    import shtab  # noqa: PLC0415 - only this command needs it

    print(shtab.complete(build_parser(), shell=args.shell))
    return ExitCode.DONE
