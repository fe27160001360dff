"""From a request to an exit code, with what happens told on the way."""

import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable

from memhp.core.census import PageKind
from memhp.core.errors import JournalError
from memhp.core.events import Event
from memhp.core.limits import Limits
from memhp.core.machine import Bounded, Machine, Particular
from memhp.core.plan import Plan
from memhp.core.ranges import format_blocks
from memhp.core.report import report_of
from memhp.core.request import Conditions, Evacuate, Offline, Request
from memhp.core.targets import parse_size
from memhp.core.words import Ability, Ending, ExitCode
from memhp.interfaces.cli.accept_option import accepted, add_accept_option, tell_dangers
from memhp.interfaces.cli.attempts import Attempts
from memhp.interfaces.cli.limit_options import add_limit_options, limits_of, seconds_of
from memhp.interfaces.cli.live_guard import confirm_live
from memhp.interfaces.cli.options import add_json_option, add_machine_option, machine_of
from memhp.interfaces.cli.output import forget_output
from memhp.interfaces.cli.prepare_option import add_prepare_option, preparations
from memhp.interfaces.cli.progress import Progress, print_report
from memhp.interfaces.cli.show import print_event_line, print_json, step_words
from memhp.interfaces.cli.state_folder import state_folder
from memhp.interfaces.cli.told_around import held, tell_cautions, told_around
from memhp.operations.able import check_able
from memhp.operations.conduct import Conductor
from memhp.operations.converge import Machines, look_for
from memhp.operations.count_planned import blocks_to_count, with_planned_counted
from memhp.operations.next_leg import next_leg
from memhp.operations.operation import Operation
from memhp.operations.outlook import outlook
from memhp.operations.risks import want_for_risks


def add_change_options(
    parser: ArgumentParser, *, blocks: bool = False, machine: bool = True, out: bool = False
) -> None:
    """Add what every command that changes a machine takes.

    ``blocks`` for those of which a part may do; ``machine`` for those about one
    machine; ``out`` for those that take blocks offline.
    """
    if machine:
        add_machine_option(parser)
    add_json_option(parser)
    parser.add_argument("--dry-run", action="store_true", help="print the plan and do nothing")
    add_deadline_option(parser)
    add_accept_option(parser)
    if out:
        add_prepare_option(parser)
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
    add_limit_options(parser)


def carry_out(request: Request, args: Namespace) -> ExitCode:
    """Carry a request out on the machine that was named, or print its plan."""
    machine = machine_of(args, held=not args.dry_run)
    return carry_out_on({machine.name: machine}, request, args)


def carry_out_on(machines: Machines, request: Request, args: Namespace) -> ExitCode:
    """Carry a request out on machines by their names, or print its plan."""
    operation = Operation(request=request, conditions=_conditions(args))
    if args.dry_run:
        return _print_plan(operation, machines, args)
    for machine in machines.values():
        confirm_live(machine, operation, args)
        if machine.can and not machine.lasts and not args.json:
            print(
                f"note: {machine.name} is booted for this command alone; 'memhp model new' makes "
                "machines that last",
                file=sys.stderr,
            )
    _warn_beforehand(operation, machines)
    conductor = conductor_of(machines, args)
    return conduct(lambda: conductor.begin(operation), conductor)


def _warn_beforehand(operation: Operation, machines: Machines) -> None:
    """Say what a person should know of what is about to be done, or raise ``NotSupported``."""
    knowing = [m for m in machines.values() if Ability.CENSUS in m.can or isinstance(m, Particular)]
    if not knowing:
        return
    snapshots = look_for(operation, machines)
    leg = next_leg(operation, snapshots)
    if leg is not None:
        _warn_of_steps(leg.plan, machines)
        _warn_of_poison(leg.plan, machines)


def _warn_of_steps(plan: Plan, machines: Machines, *, rights: bool = True) -> None:
    """Say what a machine has to say of single steps, once; raises ``NotSupported``.

    Without ``rights`` it says what this user lacks, and no more.
    """
    if not any(isinstance(machine, Particular) for machine in machines.values()):
        return
    check_able(plan, machines, rights=rights)
    sentences = [
        sentence
        for step in plan.steps
        if isinstance(machine := machines[step.machine], Particular)
        for sentence in (*machine.warnings(step.action), machine.lacks_rights(step.action))
        if sentence is not None
    ]
    for sentence in dict.fromkeys(sentences):
        print(f"note: {sentence}", file=sys.stderr)


def _warn_of_poison(plan: Plan, machines: Machines) -> None:
    """Name the blocks that may never come back, where their device goes and that is no risk."""
    if isinstance(plan.request, Offline | Evacuate):
        return
    for name, machine in machines.items():
        numbers = blocks_to_count(plan, name) if Ability.CENSUS in machine.can else []
        found = machine.census(numbers) if numbers else {}
        poisoned = sorted(n for n in numbers if found[n].pages.get(PageKind.POISONED))
        if poisoned:
            print(
                f"note: {format_blocks(poisoned)} has poisoned pages: Linux takes such a block "
                "offline, and from 6.12 on never brings it online again",
                file=sys.stderr,
            )


def conduct(work: Callable[[], Ending], conductor: Conductor) -> ExitCode:
    """Do the work to its end and sum up; an interruption says how to go on."""
    try:
        with held(conductor.machines.values()), told_around(conductor.machines.values()):
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

    def __init__(self, args: Namespace, machines: Machines) -> None:
        several = len(machines) > 1
        self._attempts = Attempts(machines)
        self._json = bool(args.json)
        self._progress = Progress(several=several)
        self._events: list[Event] = []

    def __call__(self, event: Event) -> None:
        """Tell of an event. What is done goes on though nobody reads, or can be told."""
        self._events.append(event)
        self._attempts(event)
        tell = print_event_line if self._json else self._progress
        try:
            tell(event)
        except OSError:
            forget_output()

    def sum_up(self) -> None:
        """Print the sum for a person."""
        if not self._json:
            print_report(report_of(self._events))


def conductor_of(machines: Machines, args: Namespace) -> Conductor:
    """Make what carries operations out on machines, which are given by their names."""
    deadline = seconds_of(args.deadline)
    limits = limits_of(args)
    return Conductor(
        machines={name: _bounded(machine, limits) for name, machine in machines.items()},
        folder=state_folder() if all(m.lasts for m in machines.values()) else None,
        listener=Teller(args, machines),
        until=None if deadline is None else time.monotonic() + deadline,
    )


def _print_plan(operation: Operation, machines: Machines, args: Namespace) -> ExitCode:
    """Print what is done first, step by step, and in words what follows from how that goes."""
    snapshots = look_for(operation, machines, also=want_for_risks(operation.request))
    leg = next_leg(operation, snapshots)
    if leg is not None:
        _warn_of_steps(leg.plan, machines, rights=False)
    tell_cautions(machines.values())
    if leg is not None:
        check_able(leg.plan, machines, rights=False)
        counted = with_planned_counted(leg.plan, snapshots, machines)
        tell_dangers(leg.plan, counted, operation.conditions.accept)
    if args.json:
        print_json(None if leg is None else leg.plan)
    elif leg is None:
        print("nothing to do: everything is so already", file=sys.stderr)
    else:
        for step in leg.plan.steps:
            expected = f"   (now {step.expect})" if step.expect is not None else ""
            print(f"{step_words(step, several=len(machines) > 1)}{expected}")
        for line in outlook(operation.request, snapshots):
            print(f"then {line}")
    return ExitCode.DONE


def _conditions(args: Namespace) -> Conditions:
    at_least = getattr(args, "at_least", None)
    return Conditions(
        all_or_nothing=bool(getattr(args, "all_or_nothing", False)),
        at_least_bytes=None if at_least is None else parse_size(at_least),
        accept=accepted(args),
        prepare=preparations(args),
    )


def _bounded(machine: Machine, limits: Limits) -> Machine:
    return machine.bounded(limits) if isinstance(machine, Bounded) else machine
