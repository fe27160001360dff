"""The forms in which ``memhp ls`` prints: a table, raw, pairs, JSON; to the byte as ``lsmem``."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from memhp.interfaces.cli.ls_columns import Cell, Column, human_size

Row = Sequence[Cell]
Line = Callable[[Row], str]


def table(columns: Sequence[Column], rows: Sequence[Row], *, headings: bool) -> Iterator[str]:
    """Columns as wide as what stands in them; what is aligned to the left ends without blanks."""
    widths = [
        _width(column, max((len(row[place] or "") for row in rows), default=0))
        for place, column in enumerate(columns)
    ]
    full, open_ended = _templates(columns, widths)
    if headings:
        yield full % tuple(column.name for column in columns)
    for row in rows:
        template = full if row[-1] else open_ended
        yield template % tuple([cell or "" for cell in row])


def _templates(columns: Sequence[Column], widths: Sequence[int]) -> tuple[str, str]:
    """How a row is put together; the other is for rows in which the last column is empty."""
    parts = [
        f"%-{width}s" if column.left else f"%{width}s"
        for column, width in zip(columns, widths, strict=True)
    ]
    if columns[-1].left:
        parts[-1] = "%s"
    return " ".join(parts), " ".join([*parts[:-1], "%s"])


def _width(column: Column, longest: int) -> int:
    """The hint of a column counts only where what stands in it fills the heading's width."""
    if longest < len(column.name):
        return len(column.name)
    return max(longest, column.hint if len(column.name) < column.hint else 0)


def raw_line(row: Row) -> str:
    """Cells with one blank between them."""
    return " ".join([cell or "" for cell in row])


def raw(columns: Sequence[Column], lines: Iterable[str], *, headings: bool) -> Iterator[str]:
    """Lines below the columns' names."""
    if headings:
        yield " ".join(column.name for column in columns)
    yield from lines


def pairs_line(columns: Sequence[Column]) -> Line:
    """Make what writes ``NAME="cell"`` for each, as a shell reads it."""
    template = " ".join(f'{column.name.replace("-", "_")}="%s"' for column in columns)
    return lambda row: template % tuple([cell or "" for cell in row])


def json_line(columns: Sequence[Column], *, in_bytes: bool) -> Line:
    """Make what writes the members of an object."""
    kinds = [
        "number" if in_bytes and column.name == "SIZE" else column.json_type for column in columns
    ]
    shows = [_JSON_VALUES[kind] for kind in kinds]
    template = ",\n".join(f'         "{column.name.lower()}": %s' for column in columns)
    return lambda row: template % tuple([show(cell) for show, cell in zip(shows, row, strict=True)])


def json_document(objects: Iterable[str]) -> Iterator[str]:
    """One object a line of members, in the array ``memory``."""
    yield "{"
    yield '   "memory": ['
    opening = "      {"
    for members in objects:
        yield opening
        yield members
        opening = "      },{"
    yield "      }"
    yield "   ]"
    yield "}"


_JSON_VALUES: dict[str, Callable[[Cell], str]] = {
    # A truth value that is not known counts as false, as lsmem has it.
    "boolean": lambda cell: "true" if cell == "yes" else "false",
    "number": lambda cell: cell or "null",
    "string": lambda cell: "null" if cell is None else f'"{cell}"',
}


def summary(block_size: int, online: int, offline: int, *, in_bytes: bool) -> Iterator[str]:
    """The size of a block, and what is online and offline in all."""
    for what, size in (
        ("Memory block size:", block_size),
        ("Total online memory:", online),
        ("Total offline memory:", offline),
    ):
        yield f"{what:<23} {size:>15}" if in_bytes else f"{what:<23} {human_size(size):>5}"
