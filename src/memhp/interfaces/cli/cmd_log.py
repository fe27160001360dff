"""Show the operations of the journal, or one of them step by step.

memhp log
memhp log 7
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator

from memhp.core.errors import JournalError
from memhp.core.words import ExitCode
from memhp.interfaces.cli.options import add_json_option
from memhp.interfaces.cli.show import outcome_words, print_json, printable
from memhp.interfaces.cli.state_folder import state_folder
from memhp.operations.conduct import undone_by
from memhp.operations.journal import Journals
from memhp.operations.journal_records import Story

SUMMARY = "show what was done, and what waits to be gone on with"


def add_arguments(parser: ArgumentParser) -> None:
    """Describe the command's arguments and options."""
    parser.add_argument("operation", nargs="?", metavar="N", help="one operation, step by step")
    add_json_option(parser)


def run(args: Namespace) -> ExitCode:
    """Read the journals and print them."""
    journals = Journals(state_folder())
    if args.operation is not None:
        story = journals.read(args.operation)
        if args.json:
            print_json(story)
        else:
            for line in _steps(story, _standing(journals, args.operation, story)):
                print(printable(line))
        return ExitCode.DONE
    rows = [_row(journals, name) for name in journals.names()]
    if args.json:
        print_json(rows)
    for row in () if args.json else rows:
        print(printable("{operation:>4}  {time}  {machine}  {asked}: {standing}".format(**row)))
    return ExitCode.DONE


def _row(journals: Journals, name: str) -> dict[str, str]:
    """One operation; a journal that cannot be read does not hide the others."""
    try:
        story = journals.read(name)
    except JournalError as error:
        unknown = dict.fromkeys(("time", "machine", "asked"), "?")
        return {"operation": name, **unknown, "standing": str(error)}
    return {
        "operation": name,
        "time": story.begun.time.replace("+00:00", "Z").replace("T", " "),
        "machine": story.begun.addresses,
        "asked": str(story.begun.request),
        "standing": _standing(journals, name, story),
    }


def _standing(journals: Journals, name: str, story: Story) -> str:
    undone = undone_by(journals, name)
    if undone is not None:
        return f"undone by {undone}"
    asked = story.operation.unanswered()
    if asked is not None and story.operation.waits_for_a_person():
        return f"has to {asked}; 'memhp resume {name}' goes on once it is there"
    if asked is not None:
        return f"waits for the answer to '{asked}', which 'memhp resume {name}' takes"
    if story.finished is None:
        return "not ended; 'memhp resume' goes on, 'memhp undo' goes back"
    return str(story.finished.ending)


def _steps(story: Story, standing: str) -> Iterator[str]:
    yield f"{story.begun.request} on {story.begun.addresses}, {story.begun.time}: {standing}"
    for leg in story.operation.legs:
        if leg.back:
            yield "  putting back:"
        for step, outcome in leg.results():
            yield f"  {step}: {outcome_words(outcome)}"
        intent = story.intent if leg is story.operation.legs[-1] else None
        for index, step in enumerate(leg.plan.steps[len(leg.outcomes) :], len(leg.outcomes)):
            is_asked = intent is not None and index <= intent
            asked = "asked, and no outcome is known" if is_asked else "not asked for"
            yield f"  {step}: {asked}"
