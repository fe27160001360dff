"""Options that bound what a change may take, and what it may do to what runs on the machine."""

from argparse import ArgumentParser, Namespace

from memhp.core.errors import ArgumentError
from memhp.core.limits import Limits

_SECONDS = {"s": 1, "m": 60, "h": 3600}
_OFF = "off"
_SHARE = 1 / 8
"""Of the time until the deadline: what one block may cost the others."""


def add_limit_options(parser: ArgumentParser) -> None:
    """Add ``--stall`` and ``--brake``: they hold for a Linux machine that runs."""
    parser.add_argument(
        "--stall",
        metavar="TIME",
        help="give a block of a running machine up after this long without a page gone "
        "(default: 60s, or an eighth of the time left where others can be tried; 'off')",
    )
    parser.add_argument(
        "--brake",
        metavar="PERCENT",
        help="pause above this memory pressure ('full' of PSI), and end the run where it stays "
        "(default: 40; 'off')",
    )


def limits_of(args: Namespace) -> Limits:
    """The limits that were asked for; raises ``ArgumentError``.

    Where a part may do, a block that is stuck leaves time for the others; who
    says how long it may be knows better.
    """
    limits = Limits(stall_share=_SHARE if _may_be_a_part(args) else None)
    stall, share, brake = limits.stall_seconds, limits.stall_share, limits.pressure_percent
    if args.stall is not None:
        stall, share = None if args.stall == _OFF else seconds_of(args.stall), None
    if args.brake is not None:
        brake = None if args.brake == _OFF else _percent(args.brake)
    return Limits(stall_seconds=stall, stall_share=share, pressure_percent=brake)


def _may_be_a_part(args: Namespace) -> bool:
    return hasattr(args, "all_or_nothing") and not args.all_or_nothing


def seconds_of(text: str | None) -> float | None:
    """A time as ``90s``, ``5m`` or ``1h``, in seconds; raises ``ArgumentError``."""
    if text is None:
        return None
    digits, unit = (text[:-1], text[-1:]) if text[-1:] in _SECONDS else (text, "s")
    if not digits.isascii() or not digits.isdecimal() or len(digits) > 9 or int(digits) == 0:
        raise ArgumentError(text=text, problem="is no time", advice="give one as 90s, 5m or 1h")
    return float(int(digits) * _SECONDS[unit])


def _percent(text: str) -> float:
    digits = text.removesuffix("%")
    if not digits.isascii() or not digits.isdecimal() or not 0 < int(digits[:9]) < 100:
        raise ArgumentError(text=text, problem="is no percentage", advice="give 1 to 99, or 'off'")
    return float(digits)
