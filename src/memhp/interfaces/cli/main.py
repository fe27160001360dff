"""The entry point: words in, exit code out. Nothing else exits or reports errors."""

import os
import sys
from collections.abc import Sequence

from memhp.core.errors import MemhpError
from memhp.core.words import ExitCode
from memhp.interfaces.cli.commands import NAMES, command
from memhp.interfaces.cli.parser import build_parser

_DEBUG = "MEMHP_DEBUG"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; argparse alone exits by itself."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        code = _run(words)
        sys.stdout.flush()
    except MemhpError as error:
        return _complain(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _complain("interrupted", ExitCode.INTERRUPTED)
    except BrokenPipeError:
        # Whoever read our output has gone; Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.DONE
    except Exception as fault:
        if os.environ.get(_DEBUG):
            raise
        what = f"{type(fault).__name__}: {fault}".splitlines()[0]
        return _complain(
            f"a fault in memhp itself ({what}): please report it; {_DEBUG}=1 shows where it is",
            ExitCode.BUG,
        )
    return code


def _run(words: list[str]) -> ExitCode:
    known = [words[0]] if words and words[0] in NAMES else list(NAMES)
    parser = build_parser(known)
    args = parser.parse_args(words)
    if args.command is None:
        from memhp.interfaces.cli.overview import show_overview  # noqa: PLC0415

        return show_overview(args)
    return command(args.command).run(args)


def _complain(sentence: str, code: ExitCode) -> ExitCode:
    sys.stdout.flush()
    print(f"memhp: {sentence}", file=sys.stderr)
    return code
