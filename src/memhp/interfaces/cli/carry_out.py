"""From a plan to an exit code, with what happens told on the way."""

from argparse import Namespace

from memhp.core.events import Event
from memhp.core.machine import Machine
from memhp.core.plan import Plan
from memhp.core.report import report_of
from memhp.core.words import ExitCode
from memhp.interfaces.cli.show import print_event, print_event_line, print_report
from memhp.operations.execute import execute


def carry_out(plan: Plan, machine: Machine, args: Namespace) -> ExitCode:
    """Carry out a plan on one machine and print each event and the sum."""
    events: list[Event] = []
    tell = print_event_line if args.json else print_event

    def listen(event: Event) -> None:
        events.append(event)
        tell(event)

    execute(plan, {machine.name: machine}, until=None, listener=listen)
    report = report_of(events)
    if not args.json:
        print_report(report)
    return report.exit_code
