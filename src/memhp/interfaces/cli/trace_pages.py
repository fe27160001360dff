"""``memhp trace pages``: the modelled page allocator held against what a real one did."""

import sys
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memhp.core.errors import MemhpError
from memhp.core.words import ExitCode
from memhp.interfaces.cli.options import add_json_option
from memhp.interfaces.cli.show import print_json

if TYPE_CHECKING:  # numpy takes long to load
    from memhp.model.allocations.judge import Judgement


def add_pages_arguments(actions: Any) -> None:
    """Describe the action."""
    pages = actions.add_parser(
        "pages",
        description="Replay what a page allocator did ('memhp lab pages' records it) and count "
        "the pageblocks that hold a page that cannot move, there and in the model.",
    )
    pages.add_argument("files", nargs="+", metavar="FILE")
    add_json_option(pages)


def run_pages(args: Namespace) -> ExitCode:
    """Judge each file; one that cannot be read does not stop the others."""
    from memhp.model.allocations.judge import judge  # noqa: PLC0415
    from memhp.model.allocations.recording import read_allocations  # noqa: PLC0415
    from memhp.model.allocations.replay import replay  # noqa: PLC0415

    worst, judged = ExitCode.DONE, []
    for file in args.files:
        try:
            recording = read_allocations(Path(file))
        except MemhpError as error:
            print(f"memhp: {error}", file=sys.stderr)
            worst = ExitCode.MACHINE
            continue
        found = judge(recording, replay(recording))
        if not found.within and worst is ExitCode.DONE:
            worst = ExitCode.DIFFERENT
        judged.append((file, found))
        if not args.json:
            print("\n".join(_lines(file, found)))
    if args.json:
        print_json([{"file": file, "off_by": j.off_by, "judgement": j} for file, j in judged])
    return worst


def _lines(file: str, judged: "Judgement") -> list[str]:
    from memhp.model.allocations.judge import TOLERANCE  # noqa: PLC0415

    verdict = "within" if judged.within else "not within"
    counts = f"{judged.recorded} pageblocks with an unmovable page, {judged.modelled} in the model"
    lines = [f"{file}: {counts}: {judged.off_by:.1%} off, {verdict} {TOLERANCE:.0%}"]
    for block in judged.differently:
        there, here = (_word(can) for can in (block.by_flags, block.by_model))
        lines.append(f"  memory{block.block} {there} there and {here} in the model")
    return lines


def _word(can_go: bool) -> str:  # noqa: FBT001
    return "can go offline" if can_go else "cannot go offline"
