"""What to do when nobody reads, or nothing can be written: go on without output."""

import os
import sys


def forget_output() -> None:
    """Let nothing be written any more, or Python would complain once more at exit."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
