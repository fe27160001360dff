"""The entry point: words in, exit code out. Nothing else exits or reports errors."""

import errno
import os
import sys
from collections.abc import Sequence

from memhp.core.errors import MemhpError
from memhp.core.words import ExitCode
from memhp.interfaces.cli.commands import NAMES, command
from memhp.interfaces.cli.output import forget_output
from memhp.interfaces.cli.parser import build_parser

_DEBUG = "MEMHP_DEBUG"
_OUTPUT_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF})


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; argparse alone exits by itself."""
    words = list(sys.argv[1:] if argv is None else argv)
    if sys.stdout is None:
        return _unprintable("standard output is closed")
    try:
        code = _run(words)
        sys.stdout.flush()
    except MemhpError as error:
        return _complain(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _complain("interrupted", ExitCode.INTERRUPTED)
    except BrokenPipeError:
        # Whoever read our output has gone; Python would complain once more at exit.
        forget_output()
        return ExitCode.DONE
    except Exception as fault:
        if isinstance(fault, OSError) and _is_about_output(fault):
            return _unprintable(os.strerror(fault.errno or 0))
        if os.environ.get(_DEBUG):
            raise
        what = f"{type(fault).__name__}: {fault}".splitlines()[0]
        return _complain(
            f"a fault in memhp itself ({what}): please report it; {_DEBUG}=1 shows where it is",
            ExitCode.BUG,
        )
    return code


def _run(words: list[str]) -> int:
    known = [words[0]] if words and words[0] in NAMES else list(NAMES)
    parser = build_parser(known)
    args = parser.parse_args(words)
    if args.command is None:
        from memhp.interfaces.cli.overview import show_overview  # noqa: PLC0415

        return show_overview(args)
    return command(args.command).run(args)


def _is_about_output(fault: OSError) -> bool:
    """Whether printing failed: an error of writing, and of no file with a name."""
    return fault.filename is None and fault.errno in _OUTPUT_ERRORS


def _unprintable(problem: str) -> ExitCode:
    """What was to be done is done or not, whoever reads it; that it is not told is an error."""
    forget_output()
    print(f"memhp: the output cannot be written: {problem}", file=sys.stderr)
    return ExitCode.MACHINE


def _complain(sentence: str, code: ExitCode) -> ExitCode:
    try:
        sys.stdout.flush()
    except OSError:
        forget_output()
    print(f"memhp: {sentence}", file=sys.stderr)
    return code
