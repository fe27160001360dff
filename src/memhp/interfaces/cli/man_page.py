"""The manual page in roff, from the parser that also prints ``--help``."""

import argparse
from collections.abc import Iterator

from memhp import __version__


def man_page(parser: argparse.ArgumentParser) -> str:
    """Write a ``man(7)`` page: the commands, each with its options, then the epilog."""
    return "\n".join(_lines(parser)) + "\n"


def _lines(parser: argparse.ArgumentParser) -> Iterator[str]:
    yield f'.TH MEMHP 8 "" "memhp {__version__}" "System Administration"'
    yield ".SH NAME"
    yield f"memhp \\- {_text((parser.description or '').partition(chr(10))[0].rstrip('.'))}"
    yield ".SH SYNOPSIS"
    yield ".B memhp"
    yield "COMMAND [OPTIONS]"
    yield ".SH COMMANDS"
    for name, sub in _commands(parser):
        yield f".SS memhp {name}"
        yield from _preformatted(sub.description or "")
        for action in sub._actions:  # noqa: SLF001 - argparse has no public way to walk them
            yield from _option(action)
    yield ".SH TARGETS AND EXIT CODES"
    yield from _preformatted(parser.epilog or "")


def _commands(
    parser: argparse.ArgumentParser,
) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in parser._actions:  # noqa: SLF001
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            yield from action.choices.items()


def _option(action: argparse.Action) -> Iterator[str]:
    if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
        for name, sub in action.choices.items():
            yield ".TP"
            yield f".B {name}"
            yield _text((sub.description or "").partition("\n")[0])
        return
    if isinstance(action, argparse._HelpAction):  # noqa: SLF001
        return
    names = ", ".join(action.option_strings) or str(action.metavar or action.dest)
    value = f" {action.metavar}" if action.option_strings and action.metavar else ""
    yield ".TP"
    yield f".B {_text(names + value)}"
    yield _text(action.help or "")


def _preformatted(block: str) -> Iterator[str]:
    yield ".nf"
    yield from (_text(line) for line in block.strip().splitlines())
    yield ".fi"


def _text(line: str) -> str:
    """Escape what roff would read as its own."""
    escaped = line.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped
