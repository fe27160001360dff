"""From a request to an exit code, with what happens told on the way."""

import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable

from memhp.core.census import PageKind
from memhp.core.errors import ArgumentError, JournalError
from memhp.core.events import Event
from memhp.core.geometry import BlockId
from memhp.core.machine import Machine
from memhp.core.ranges import format_blocks
from memhp.core.report import report_of
from memhp.core.request import Conditions, Evacuate, Offline, Request
from memhp.core.targets import parse_size
from memhp.core.words import Ability, Ending, ExitCode
from memhp.interfaces.cli.live_guard import confirm_live
from memhp.interfaces.cli.options import add_json_option, add_machine_option, machine_of
from memhp.interfaces.cli.output import forget_output
from memhp.interfaces.cli.progress import Progress, print_report
from memhp.interfaces.cli.show import print_event_line, print_json
from memhp.interfaces.cli.state_folder import state_folder
from memhp.interfaces.cli.told_around import told_around
from memhp.operations.conduct import Conductor
from memhp.operations.next_leg import WANT, next_leg
from memhp.operations.operation import Operation, block_of

_MOST_COUNTED = 4096
"""Blocks that are looked into beforehand; counting more would take longer than it is worth."""
_SECONDS = {"s": 1, "m": 60, "h": 3600}


def add_change_options(parser: ArgumentParser, *, blocks: bool = False) -> None:
    """Add what every command that changes a machine takes; ``blocks`` for those about blocks."""
    add_machine_option(parser)
    add_json_option(parser)
    parser.add_argument("--dry-run", action="store_true", help="print the plan and do nothing")
    add_deadline_option(parser)
    if blocks:
        parser.add_argument(
            "--at-least", metavar="SIZE", help="this much is enough where not all of it can be done"
        )
        parser.add_argument(
            "--all-or-nothing",
            action="store_true",
            help="where it cannot be done, put everything back in the zone that it had",
        )


def add_deadline_option(parser: ArgumentParser) -> None:
    """Add ``--deadline``."""
    parser.add_argument(
        "--deadline", metavar="TIME", help="stop trying after this long, as 90s, 5m or 1h"
    )


def carry_out(request: Request, args: Namespace) -> ExitCode:
    """Carry a request out on the machine that was named, or print its plan."""
    operation = Operation(request=request, conditions=_conditions(args))
    machine = machine_of(args)
    if args.dry_run:
        return _print_plan(operation, machine, args)
    confirm_live(machine, operation, args)
    if machine.can and not machine.lasts and not args.json:
        print(
            f"note: {machine.name} is booted for this command alone; 'memhp model new' makes "
            "machines that last",
            file=sys.stderr,
        )
    _warn_of_poison(operation, machine)
    conductor = conductor_of(machine, args)
    with told_around(machine):
        return conduct(lambda: conductor.begin(operation), conductor)


def _warn_of_poison(operation: Operation, machine: Machine) -> None:
    """Name the blocks that may never come back: with a poisoned page in them."""
    if not isinstance(operation.request, Offline | Evacuate) or Ability.CENSUS not in machine.can:
        return
    leg = next_leg(operation, machine.snapshot(WANT))
    steps = () if leg is None else leg.plan.steps
    numbers = [BlockId(n) for step in steps if (n := block_of(step)) is not None]
    found = machine.census(numbers[:_MOST_COUNTED])
    poisoned = sorted(n for n, census in found.items() if census.pages.get(PageKind.POISONED))
    if poisoned:
        print(
            f"note: {format_blocks(poisoned)} holds poisoned pages: Linux takes such a block "
            "offline, and from 6.12 on never brings it online again",
            file=sys.stderr,
        )


def conduct(work: Callable[[], Ending], conductor: Conductor) -> ExitCode:
    """Do the work to its end and sum up; an interruption says how to go on."""
    try:
        ending = work()
    except KeyboardInterrupt:
        if conductor.folder is None:
            raise
        raise JournalError(
            operation="the operation",
            problem="was interrupted",
            advice="'memhp resume' goes on, 'memhp undo' goes back",
            exit_code=ExitCode.INTERRUPTED,
        ) from None
    if isinstance(conductor.listener, Teller):
        conductor.listener.sum_up()
    return ending.exit_code


class Teller:
    """Listens, tells as it was asked to, and sums up."""

    def __init__(self, args: Namespace) -> None:
        self._json = bool(args.json)
        self._progress = Progress()
        self._events: list[Event] = []

    def __call__(self, event: Event) -> None:
        """Tell of an event. What is done goes on though nobody reads, or can be told."""
        self._events.append(event)
        tell = print_event_line if self._json else self._progress
        try:
            tell(event)
        except OSError:
            forget_output()

    def sum_up(self) -> None:
        """Print the sum for a person."""
        if not self._json:
            print_report(report_of(self._events))


def conductor_of(machine: Machine, args: Namespace) -> Conductor:
    """Make what carries operations out on a machine."""
    deadline = _deadline(args.deadline)
    return Conductor(
        machine=machine,
        folder=state_folder() if machine.lasts else None,
        listener=Teller(args),
        until=None if deadline is None else time.monotonic() + deadline,
    )


def _print_plan(operation: Operation, machine: Machine, args: Namespace) -> ExitCode:
    leg = next_leg(operation, machine.snapshot(WANT))
    if args.json:
        print_json(None if leg is None else leg.plan)
    elif leg is None:
        print("nothing to do: everything is so already", file=sys.stderr)
    else:
        for step in leg.plan.steps:
            expected = f"   (now {step.expect})" if step.expect is not None else ""
            print(f"{step}{expected}")
    return ExitCode.DONE


def _conditions(args: Namespace) -> Conditions:
    at_least = getattr(args, "at_least", None)
    return Conditions(
        all_or_nothing=bool(getattr(args, "all_or_nothing", False)),
        at_least_bytes=None if at_least is None else parse_size(at_least),
    )


def _deadline(text: str | None) -> float | None:
    """A time as ``90s``, ``5m`` or ``1h``, in seconds; raises ``ArgumentError``."""
    if text is None:
        return None
    digits, unit = (text[:-1], text[-1:]) if text[-1:] in _SECONDS else (text, "s")
    if not digits.isascii() or not digits.isdecimal() or len(digits) > 9 or int(digits) == 0:
        raise ArgumentError(text=text, problem="is no time", advice="give one as 90s, 5m or 1h")
    return float(int(digits) * _SECONDS[unit])
