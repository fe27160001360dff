"""Carry out a saved plan, if the machine is still as it was.

memhp offline node1 --dry-run --json -M model:rack1.machine > plan.json
memhp apply plan.json -M model:rack1.machine
"""

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from memhp.core.errors import ArgumentError
from memhp.core.plan import Plan
from memhp.core.request import Conditions
from memhp.core.values_json import from_json, parse_json
from memhp.core.words import ExitCode
from memhp.interfaces.cli.accept_option import accepted, add_accept_option
from memhp.interfaces.cli.carry_out import add_deadline_option, conduct, conductor_of
from memhp.interfaces.cli.live_guard import refuse_unnamed_live
from memhp.interfaces.cli.options import add_json_option, add_machine_option
from memhp.machines.open import open_machine

SUMMARY = "carry out a saved plan"


def add_arguments(parser: ArgumentParser) -> None:
    """Describe the command's arguments and options."""
    parser.add_argument("plan", metavar="PLAN", help="a file from --dry-run --json, or - for stdin")
    parser.add_argument(
        "--all-or-nothing",
        action="store_true",
        help="where it cannot be done, put everything back in the zone that it had",
    )
    add_machine_option(parser)
    add_json_option(parser)
    add_deadline_option(parser)
    add_accept_option(parser)


def run(args: Namespace) -> ExitCode:
    """Read the plan and carry it out."""
    document = _read(args.plan)
    if document is None:
        print("nothing to do: everything was so already", file=sys.stderr)
        return ExitCode.DONE
    plan: Plan = from_json(Plan, document)
    machines = {name: open_machine(name) for name in _machines_of(plan, args)}
    for machine in machines.values():
        refuse_unnamed_live(machine, args)
    conditions = Conditions(all_or_nothing=args.all_or_nothing, accept=accepted(args))
    conductor = conductor_of(machines, args)
    return conduct(lambda: conductor.apply(plan, conditions), conductor)


def _machines_of(plan: Plan, args: Namespace) -> tuple[str, ...]:
    """The plan's machines; raises ``ArgumentError`` where another one was named."""
    if not plan.marks or {step.machine for step in plan.steps} - plan.marks.keys():
        raise ArgumentError(
            text=args.plan,
            problem="is not a plan that names its machines",
            advice="make it with --dry-run --json",
        )
    if args.machine is not None and args.machine not in plan.marks:
        known = "' and '".join(plan.marks)
        raise ArgumentError(
            text=args.machine, problem="is not the plan's machine", advice=f"that is '{known}'"
        )
    return tuple(plan.marks)


def _read(path: str) -> object:
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
        return parse_json(text)
    except OSError as err:
        raise ArgumentError(
            text=path, problem=f"cannot be read ({err.strerror})", advice="give a plan's file"
        ) from err
    except ValueError as err:
        raise ArgumentError(
            text=path, problem="is no JSON", advice="make a plan with --dry-run --json"
        ) from err
