"""``--zone``: how blocks are brought online."""

from argparse import ArgumentParser, Namespace
from typing import Final

from memhp.core.words import OnlineType

ZONES: Final = {
    "default": OnlineType.ONLINE,
    "kernel": OnlineType.ONLINE_KERNEL,
    "movable": OnlineType.ONLINE_MOVABLE,
}


def add_zone_option(parser: ArgumentParser, help_text: str, default: str | None = None) -> None:
    """Add ``--zone``."""
    parser.add_argument("--zone", choices=ZONES, default=default, help=help_text)


def zone_of(args: Namespace) -> OnlineType | None:
    """The word for the zone that was asked for, or ``None`` where none was."""
    return None if args.zone is None else ZONES[args.zone]
