"""List ranges of memory with their state, as lsmem does.

Options, columns and output are those of lsmem (util-linux 2.38); neighbours
that show the same are one range. Without -M it lists this host.

  memhp ls
  memhp ls -o +NODE,ZONES -M model:server
  memhp ls --all --json -s /some/saved/tree
"""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence

from memhp.core.errors import ArgumentError
from memhp.core.listing import BlockFile, Listing
from memhp.core.words import ExitCode
from memhp.interfaces.cli.ls_columns import (
    ALL,
    COLUMNS,
    DEFAULT,
    Column,
    cells,
    cells_by_block,
    lines_by_block,
    merged,
    parse_columns,
)
from memhp.interfaces.cli.ls_print import (
    Line,
    json_document,
    json_line,
    pairs_line,
    raw,
    raw_line,
    summary,
    table,
)
from memhp.interfaces.cli.options import LIVE, add_machine_option, address_of, named_by_hand
from memhp.machines.open import open_lister

SUMMARY = "list memory with its state, as lsmem does"
_SPLIT_BY_NOTHING = "none"


def add_arguments(parser: ArgumentParser) -> None:
    """Describe the command's options; the letters are lsmem's."""
    form = parser.add_mutually_exclusive_group()
    for letter, word, about in (
        ("-J", "json", "print JSON"),
        ("-P", "pairs", 'print NAME="value" pairs'),
        ("-r", "raw", "print cells with one blank between"),
    ):
        form.add_argument(
            letter, f"--{word}", action="append_const", dest="told", const=word, help=about
        )
    parting = parser.add_mutually_exclusive_group()
    parting.add_argument("-a", "--all", action="store_true", help="list every block by itself")
    parting.add_argument("-S", "--split", metavar="LIST", help="columns that part ranges, or none")
    parser.add_argument("-b", "--bytes", action="store_true", help="print sizes in bytes")
    parser.add_argument("-n", "--noheadings", action="store_true", help="print no headings")
    parser.add_argument(
        "-o",
        "--output",
        metavar="LIST",
        help="columns, or +LIST for more: " + ", ".join(column.name for column in COLUMNS),
    )
    parser.add_argument(
        "--output-all", action="store_true", help="print all columns that lsmem has"
    )
    parser.add_argument("-s", "--sysroot", metavar="DIR", help="list a tree saved in this folder")
    parser.add_argument(
        "--summary",
        action="append",
        dest="told",
        nargs="?",
        const="only",
        metavar="WHEN",
        choices=("never", "always", "only"),
        help="sum up: never, always or only",
    )
    add_machine_option(parser)


def run(args: Namespace) -> ExitCode:
    """Read what the columns need, and print it."""
    columns = _columns(args)
    split = columns if args.split is None else _split(args.split)
    told = _told(args)
    with_table, with_summary = _parts(told)
    want = BlockFile.STATE if with_summary else BlockFile(0)
    for column in (*columns, *split) if with_table else ():
        want |= column.needs
    listing = open_lister(_address(args)).list_blocks(want)
    lines: list[str] = []
    if with_table:
        lines.extend(_table(args, told, columns, split, listing))
    if with_table and with_summary:
        lines.append("")
    if with_summary:
        lines.extend(_summary(listing, in_bytes=args.bytes))
    sys.stdout.write("\n".join([*lines, ""]))
    return ExitCode.DONE


def _columns(args: Namespace) -> tuple[Column, ...]:
    before = ALL if args.output_all else DEFAULT
    return before if args.output is None else parse_columns(args.output, before)


def _split(text: str) -> tuple[Column, ...]:
    return () if text.lower() == _SPLIT_BY_NOTHING else parse_columns(text, ())


def _told(args: Namespace) -> list[str]:
    """Forms and parts in the order in which they were asked for; the last word counts."""
    before = ["json"] if args.json else []
    return [*before, *(args.told or ())]


def _parts(told: Sequence[str]) -> tuple[bool, bool]:
    """Whether to print the table, and the summary; a form for programs leaves that out."""
    with_table = "only" not in told
    with_summary = True
    for word in told:
        with_summary = word == "always" or (with_summary and word == "only")
    if not with_table and not with_summary:
        raise ArgumentError(
            text="--summary=only",
            problem="leaves nothing to print beside what else is asked for",
            advice="it goes with none of --json, --pairs, --raw and --summary=never",
        )
    return with_table, with_summary


def _address(args: Namespace) -> str:
    if args.sysroot is None:
        return address_of(args) or LIVE
    if named_by_hand(args):
        raise ArgumentError(
            text="--sysroot", problem="stands beside a machine", advice="give one of the two"
        )
    return f"linux:{args.sysroot}"


def _table(
    args: Namespace,
    told: Sequence[str],
    columns: Sequence[Column],
    split: Sequence[Column],
    listing: Listing,
) -> Iterator[str]:
    size, runs, in_bytes = listing.block_size_bytes, listing.runs, args.bytes
    line = _line(told, columns, in_bytes=in_bytes)
    if line is None:
        rows = (
            cells_by_block(columns, runs, size, in_bytes=in_bytes)
            if args.all
            else map(cells(columns, size, in_bytes=in_bytes), merged(runs, split))
        )
        return table(columns, list(rows), headings=not args.noheadings)
    lines = (
        lines_by_block(columns, runs, size, line, in_bytes=in_bytes)
        if args.all
        else map(line, map(cells(columns, size, in_bytes=in_bytes), merged(runs, split)))
    )
    if "json" in told:
        return json_document(lines)
    return raw(columns, lines, headings="raw" in told and not args.noheadings)


def _line(told: Sequence[str], columns: Sequence[Column], *, in_bytes: bool) -> Line | None:
    """How a form for programs writes a row; ``None`` for the table."""
    if "json" in told:
        return json_line(columns, in_bytes=in_bytes)
    if "pairs" in told:
        return pairs_line(columns)
    return raw_line if "raw" in told else None


def _summary(listing: Listing, *, in_bytes: bool) -> Iterator[str]:
    online = sum(run.nr_blocks for run in listing.runs if run.state == "online")
    offline = sum(run.nr_blocks for run in listing.runs if run.state != "online")
    size = listing.block_size_bytes
    return summary(size, online * size, offline * size, in_bytes=in_bytes)
