"""Hold the model against recordings of real kernels, and make new ones.

'replay' boots the model as a recording says, does each step, and prints every
difference; 'predict' prints what the model would have recorded. Both read the
inputs of a recording alone: 'strip' leaves nothing else in it.

'record' runs a scenario in a guest of the lab; 'random' makes a scenario by
chance; 'fuzz' does both and replays, until kernel and model differ, and then
looks for the shortest scenario on which they still do.

  memhp trace replay traces/*.json
  memhp trace strip recording.json | memhp trace predict -
  memhp trace random --seed 7 | memhp trace record - --kernel 6.1 -o seven.json
  memhp trace fuzz --minutes 30 --keep recordings
"""

import json
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from memhp.core.errors import MemhpError
from memhp.core.words import ExitCode
from memhp.interfaces.cli.options import add_json_option
from memhp.interfaces.cli.show import print_json
from memhp.interfaces.cli.trace_pages import add_pages_arguments, run_pages
from memhp.interfaces.cli.trace_record import (
    add_record_arguments,
    run_fuzz,
    run_random,
    run_record,
)
from memhp.model.trace.compare import Difference, compare
from memhp.model.trace.predict import predict
from memhp.model.trace.recording import parse_recording, read_recording, strip_recording

SUMMARY = "hold the model against recordings of real kernels"


def add_arguments(parser: ArgumentParser) -> None:
    """Describe the command's arguments and options."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    replay = actions.add_parser("replay", description="Replay recordings and print differences.")
    replay.add_argument("files", nargs="+", metavar="FILE")
    add_json_option(replay)
    guess = actions.add_parser("predict", description="Print what the model would have recorded.")
    guess.add_argument("file", metavar="FILE", help="a recording, whole or stripped; - is stdin")
    strip = actions.add_parser("strip", description="Print a recording's inputs and hints alone.")
    strip.add_argument("file", metavar="FILE", help="a recording; - is stdin")
    add_pages_arguments(actions)
    add_record_arguments(actions)


def run(args: Namespace) -> ExitCode:
    """Do what was asked for."""
    makes = {
        "replay": _replay,
        "record": run_record,
        "random": run_random,
        "fuzz": run_fuzz,
        "pages": run_pages,
    }
    if args.action in makes:
        return makes[args.action](args)
    document = read_recording(Path("/dev/stdin" if args.file == "-" else args.file))
    if args.action == "strip":
        print(json.dumps(strip_recording(document)))
        return ExitCode.DONE
    print(json.dumps(predict(parse_recording(document, args.file)).document))
    return ExitCode.DONE


def _replay(args: Namespace) -> ExitCode:
    """Replay each file; one that cannot be read does not stop the others."""
    results: list[dict[str, Any]] = []
    worst = ExitCode.DONE
    for file in args.files:
        try:
            differences = _differences(file)
        except MemhpError as error:
            print(f"memhp: {error}", file=sys.stderr)
            worst = ExitCode.MACHINE
            continue
        if differences and worst is ExitCode.DONE:
            worst = ExitCode.DIFFERENT
        results.append({"file": file, "differences": differences})
        if not args.json:
            _print(file, differences)
    if args.json:
        print_json(results)
    return worst


def _differences(file: str) -> list[Difference]:
    document = read_recording(Path(file))
    return compare(document, predict(parse_recording(document, file)))


def _print(file: str, differences: list[Difference]) -> None:
    for difference in differences:
        print(f"  {difference}")
    count = len(differences)
    print(f"{file}: {'no difference' if not count else f'{count} differences'}")
