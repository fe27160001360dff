"""``memhp trace record``, ``random`` and ``fuzz``: new recordings, from guests of the lab."""

import os
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sized
from itertools import count, cycle, islice
from pathlib import Path
from typing import Any

from memhp.core.errors import ArgumentError, MachineError
from memhp.core.words import ExitCode
from memhp.interfaces.cli.options import add_json_option
from memhp.interfaces.cli.show import print_json
from memhp.interfaces.cli.write_document import check_output, write_document
from memhp.machines.lab.guest import Guest
from memhp.machines.lab.judge import Judged, judge
from memhp.machines.lab.kernels import KERNELS
from memhp.machines.lab.record import record
from memhp.model.trace.random_guest import THEMES, Theme
from memhp.model.trace.random_scenario import random_scenario
from memhp.model.trace.recording import read_recording
from memhp.model.trace.scenario import Scenario, parse_scenario, scenario_json
from memhp.model.trace.shrink import shrink

_STEPS = 12
_MOST_LOST = 3
"""So many guests in a row that cannot be recorded, and the lab itself is what fails."""


def add_record_arguments(actions: Any) -> None:
    """Describe the three actions."""
    one = actions.add_parser("record", description="Run a scenario in a guest and record it.")
    one.add_argument("scenario", metavar="SCENARIO", help="a file; - is stdin")
    one.add_argument("--kernel", choices=KERNELS, default=KERNELS[0], help="which kernel to boot")
    _add_output(one)
    chance = actions.add_parser("random", description="Make a scenario by chance.")
    chance.add_argument("--seed", type=int, default=0, metavar="S", help="the same seed, the same")
    _add_scenario_options(chance)
    _add_output(chance)
    fuzz = actions.add_parser(
        "fuzz", description="Record and replay random scenarios until one differs; shrink that."
    )
    fuzz.add_argument("--minutes", type=float, default=10, metavar="M", help="how long (10)")
    fuzz.add_argument("--scenarios", type=int, metavar="N", help="no more than so many")
    fuzz.add_argument("--seed", type=int, default=0, metavar="S", help="the first seed")
    fuzz.add_argument(
        "--kernel", choices=[*KERNELS, "all"], default="all", help="which kernels, in turns"
    )
    _add_scenario_options(fuzz)
    fuzz.add_argument("--keep", type=Path, metavar="DIR", help="keep every recording there")
    fuzz.add_argument("--go-on", action="store_true", help="do not stop at the first difference")
    _add_output(fuzz, default="difference.json")
    add_json_option(fuzz)


def _add_output(parser: ArgumentParser, default: str = "-") -> None:
    parser.add_argument(
        "-o", "--output", default=default, metavar="FILE", help=f"where to write it ({default})"
    )


def _add_scenario_options(parser: ArgumentParser) -> None:
    parser.add_argument("--steps", type=int, default=_STEPS, metavar="N", help=f"({_STEPS})")
    parser.add_argument(
        "--theme", choices=[theme.name for theme in THEMES], help="what it is to be about"
    )


def run_record(args: Namespace) -> ExitCode:
    """Record one scenario."""
    check_output(args.output)
    document = read_recording(Path("/dev/stdin" if args.scenario == "-" else args.scenario))
    scenario = parse_scenario(document, args.scenario, args.kernel)
    recording = record(scenario, _guest(), _progress)
    write_document(recording, args.output)
    return ExitCode.DONE


def run_random(args: Namespace) -> ExitCode:
    """Make one scenario."""
    write_document(scenario_json(_scenario(args, args.seed)), args.output)
    return ExitCode.DONE


def run_fuzz(args: Namespace) -> ExitCode:
    """Hold the model against kernels until they differ or the time is over."""
    _check(args)
    tally = _Tally(args.json)
    for seed, kernel in _turns(args):
        judged = tally.judged(seed, _scenario(args, seed).on(kernel))
        if judged is None:
            continue
        if args.keep is not None:
            write_document(judged.recording, str(args.keep / f"{kernel}-{seed}.json"))
        if judged.differences and not args.go_on:
            _shrink_and_write(judged, args.output)
            break
    tally.summary()
    return ExitCode.DIFFERENT if tally.different else ExitCode.DONE


def _check(args: Namespace) -> None:
    check_output(args.output)
    if not args.minutes > 0:
        raise ArgumentError(
            text=str(args.minutes), problem="is no time to look in", advice="as in '--minutes 10'"
        )
    if args.scenarios is not None and args.scenarios < 1:
        raise ArgumentError(
            text=str(args.scenarios), problem="is no number of scenarios", advice="give one or more"
        )
    if args.keep is not None:
        try:
            args.keep.mkdir(parents=True, exist_ok=True)
        except OSError as err:
            raise ArgumentError(
                text=str(args.keep),
                problem=f"is no folder to keep recordings in ({err.strerror})",
                advice="name one that is there or can be made",
            ) from err


def _turns(args: Namespace) -> Iterator[tuple[int, str]]:
    """Seeds and kernels, until the time is over."""
    end = time.monotonic() + args.minutes * 60
    kernels = cycle(KERNELS if args.kernel == "all" else [args.kernel])
    for turn in islice(zip(count(args.seed), kernels, strict=False), args.scenarios):
        if time.monotonic() >= end:
            return
        yield turn


class _Tally:
    """Counts what was tried, and says so."""

    def __init__(self, as_json: bool) -> None:  # noqa: FBT001 - one word of the command line
        self._as_json = as_json
        self._seeds: dict[str, list[int]] = {}
        self._steps = 0
        self._lost: list[int] = []
        self._lost_in_a_row = 0
        self.different: list[int] = []

    def judged(self, seed: int, scenario: Scenario) -> Judged | None:
        """Judge one scenario; ``None`` where the guest was lost. Raises ``MachineError``."""
        try:
            judged = judge(scenario, _guest())
        except MachineError as error:
            self._lost.append(seed)
            self._lost_in_a_row += 1
            print(f"seed {seed}, {scenario.guest.kernel}: not recorded: {error}", file=sys.stderr)
            if self._lost_in_a_row == _MOST_LOST:
                raise
            return None
        self._lost_in_a_row = 0
        self._seeds.setdefault(scenario.guest.kernel, []).append(seed)
        self._steps += len(judged.recording["steps"])
        if judged.differences:
            self.different.append(seed)
        told = f"{_count(judged.recording['steps'], 'step')}, {_found(judged)}"
        _say(f"seed {seed}, {scenario.guest.kernel}: {told}")
        return judged

    def summary(self) -> None:
        """How many scenarios and steps were held against which kernels, and what differed."""
        if self._as_json:
            print_json(
                {
                    "seeds": self._seeds,
                    "steps": self._steps,
                    "different": self.different,
                    "not recorded": self._lost,
                }
            )
            return
        each = ", ".join(f"{len(seeds)} on {kernel}" for kernel, seeds in self._seeds.items())
        scenarios = sum(len(seeds) for seeds in self._seeds.values())
        print(
            f"{scenarios} scenarios ({each or 'none'}), {self._steps} steps: "
            f"{len(self.different)} {'differs' if len(self.different) == 1 else 'differ'}, "
            f"{len(self._lost)} could not be recorded"
        )


def _found(judged: Judged) -> str:
    if not judged.differences:
        return "no difference"
    lines = "".join(f"\n  {difference}" for difference in judged.differences)
    return f"{_count(judged.differences, 'difference')}:{lines}"


def _count(items: Sized, word: str) -> str:
    return f"{len(items)} {word}{'' if len(items) == 1 else 's'}"


def _shrink_and_write(judged: Judged, output: str) -> None:
    """Find the shortest scenario that still differs, and write what was recorded of it."""
    shortest = judged.up_to_the_first_difference()

    def trial(scenario: Scenario) -> Scenario | None:
        nonlocal shortest
        _say(f"  with {_count(scenario.steps, 'step')}: ", end="")
        try:
            tried = judge(scenario, _guest())
        except MachineError as error:
            _say(f"not recorded: {error}")
            return None
        if not tried.differences:
            _say("no difference")
            return None
        _say("differs")
        shortest = tried.up_to_the_first_difference()
        return shortest.scenario

    # Whoever interrupts the search keeps what it began with.
    write_document(shortest.recording, output)
    shrink(shortest.scenario, trial)
    write_document(shortest.recording, output)
    _say(f"{output}: {_count(shortest.recording['steps'], 'step')}, {_found(shortest)}")


def _scenario(args: Namespace, seed: int) -> Scenario:
    if args.steps < 1:
        raise ArgumentError(
            text=str(args.steps), problem="is no number of steps", advice="give one or more"
        )
    return random_scenario(seed, args.steps, _theme(args.theme))


def _theme(name: str | None) -> Theme | None:
    return next((theme for theme in THEMES if theme.name == name), None)


def _guest() -> Guest:
    return Guest(f"trace-{os.getpid()}", bound=True)


def _progress(what: str) -> None:
    print(what, file=sys.stderr)


def _say(what: str, end: str = "\n") -> None:
    print(what, file=sys.stderr, end=end, flush=True)
