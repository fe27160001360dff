"""Colour where a person looks at a terminal, and none anywhere else."""

import os
import sys
from collections.abc import Callable

Paint = Callable[[str, str], str]
"""Gives a text a colour by the colour's name."""

_CODES = {"bold": "1", "dim": "2", "green": "32", "yellow": "33", "cyan": "36"}


def paint_for_stdout() -> Paint:
    """Colour for a terminal that wants it (``NO_COLOR``, ``TERM=dumb``), else none."""
    wanted = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    return _coloured if wanted and os.environ.get("TERM") != "dumb" else _plain


def _coloured(text: str, colour: str) -> str:
    return f"\x1b[{_CODES[colour]}m{text}\x1b[0m"


def _plain(text: str, _colour: str) -> str:
    return text
