"""The columns of ``memhp ls``: what a run of blocks shows in each, and which runs are one.

Names, order and words are those of ``lsmem`` (util-linux 2.38).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from memhp.core.errors import ArgumentError
from memhp.core.listing import BlockFile, BlockRun

_ZONES = {
    name.lower(): name
    for name in ("DMA", "DMA32", "Normal", "Highmem", "Movable", "Device", "None")
}
_UNKNOWN = "Unknown"
_STATES = {"online": "online", "offline": "offline", "going-offline": "on->off"}
Cell = str | None
"""What stands in a column; ``None`` where there is nothing to say."""


class Column(NamedTuple):
    """A column: its name, what has to be read for it, and how JSON takes it."""

    name: str
    about: str
    needs: BlockFile = BlockFile(0)
    json_type: str = "string"
    hint: int = 0
    left: bool = False
    newer: bool = False


COLUMNS = (
    Column("RANGE", "start and end address of the memory range", left=True),
    Column("SIZE", "size of the memory range", hint=5),
    Column("STATE", "online status of the memory range", BlockFile.STATE),
    Column(
        "REMOVABLE",
        "memory is removable",
        BlockFile.STATE | BlockFile.REMOVABLE,
        json_type="boolean",
    ),
    Column("BLOCK", "memory block number or blocks range"),
    Column("NODE", "numa node of memory", BlockFile.NODE, json_type="number"),
    Column("ZONES", "valid zones for the memory range", BlockFile.ZONES),
    Column(
        "CONFIGURED",
        "whether standby memory is configured",
        BlockFile.CONFIGURED,
        json_type="boolean",
        newer=True,
    ),
    Column(
        "MEMMAP-ON-MEMORY",
        "whether the block would host its own memory map",
        BlockFile.MEMMAP_ON_MEMORY,
        json_type="boolean",
        newer=True,
    ),
)
_BY_NAME = {column.name: column for column in COLUMNS}
DEFAULT = tuple(_BY_NAME[name] for name in ("RANGE", "SIZE", "STATE", "REMOVABLE", "BLOCK"))
ALL = tuple(column for column in COLUMNS if not column.newer)


def parse_columns(text: str, before: Sequence[Column]) -> tuple[Column, ...]:
    """Read a list of columns; with ``+`` in front it comes behind those ``before``.

    Raises ``ArgumentError``.
    """
    names = text.removeprefix("+")
    chosen = tuple(_named(name, text) for name in names.split(","))
    return (*before, *chosen) if text.startswith("+") else chosen


def _named(name: str, text: str) -> Column:
    column = _BY_NAME.get(name.upper())
    if column is None:
        raise ArgumentError(
            text=name or text,
            problem="is no column",
            advice=f"give some of {', '.join(_BY_NAME)}",
        )
    return column


def merged(runs: Iterable[BlockRun], split: Sequence[Column]) -> Iterator[BlockRun]:
    """Join neighbours that show the same in the columns by which ranges are split."""
    same = _same_in(split)
    by_zones = any(column.name == "ZONES" for column in split)
    last: BlockRun | None = None
    for run in _unknown_ones_apart(runs) if by_zones else runs:
        if last is not None and last.first + last.nr_blocks == run.first and same(last, run):
            last = last._replace(nr_blocks=last.nr_blocks + run.nr_blocks)
            continue
        if last is not None:
            yield last
        last = run
    if last is not None:
        yield last


def _singly(run: BlockRun) -> Iterator[BlockRun]:
    for number in range(run.first, run.first + run.nr_blocks):
        yield run._replace(first=number, nr_blocks=1)


def _unknown_ones_apart(runs: Iterable[BlockRun]) -> Iterator[BlockRun]:
    """Two unknown zones may be different ones: such blocks are never joined."""
    for run in runs:
        yield from _singly(run) if _has_unknown_zone(run) else (run,)


def _has_unknown_zone(run: BlockRun) -> bool:
    return _UNKNOWN in (zones_of(run) or ())


def _same_in(split: Sequence[Column]) -> Callable[[BlockRun, BlockRun], bool]:
    keys = [_KEYS[column.name] for column in split if column.name in _KEYS]

    def same(one: BlockRun, other: BlockRun) -> bool:
        return all(key(one) == key(other) for key in keys) and not (
            zones_of in keys and _has_unknown_zone(one)
        )

    return same


def zones_of(run: BlockRun) -> tuple[str, ...] | None:
    """The zones as ``lsmem`` names them; one that it does not know is ``Unknown``."""
    if run.zones is None:
        return None
    return tuple(_ZONES.get(zone.lower(), _UNKNOWN) for zone in run.zones)


def state_of(run: BlockRun) -> str:
    """The state as ``lsmem`` shows it; ``?`` for a word that it does not know."""
    return _STATES.get(run.state or "", "?")


_KEYS: dict[str, Callable[[BlockRun], object]] = {
    "STATE": state_of,
    "REMOVABLE": lambda run: run.removable,
    "NODE": lambda run: run.node,
    "ZONES": zones_of,
    "CONFIGURED": lambda run: run.configured,
    "MEMMAP-ON-MEMORY": lambda run: run.memmap_on_memory,
}


def cells(
    columns: Sequence[Column], block_size_bytes: int, *, in_bytes: bool
) -> Callable[[BlockRun], list[Cell]]:
    """Make what turns a run into its cells."""
    show_size = str if in_bytes else human_size
    shows: dict[str, Callable[[BlockRun], Cell]] = {
        "RANGE": lambda run: _range(run.first, run.nr_blocks, block_size_bytes),
        "SIZE": lambda run: show_size(run.nr_blocks * block_size_bytes),
        "STATE": state_of,
        "REMOVABLE": lambda run: _yes(run.removable) if run.state == "online" else None,
        "BLOCK": lambda run: (
            f"{run.first}" if run.nr_blocks == 1 else f"{run.first}-{run.first + run.nr_blocks - 1}"
        ),
        "NODE": lambda run: None if run.node is None else f"{run.node}",
        "ZONES": lambda run: "/".join(zones_of(run) or ()) or None,
        "CONFIGURED": lambda run: _yes(run.configured),
        "MEMMAP-ON-MEMORY": lambda run: _yes(run.memmap_on_memory),
    }
    wanted = [shows[column.name] for column in columns]
    return lambda run: [show(run) for show in wanted]


def cells_by_block(
    columns: Sequence[Column], runs: Iterable[BlockRun], block_size_bytes: int, *, in_bytes: bool
) -> Iterator[list[Cell]]:
    """The cells of every block by itself; within a run only range and number differ."""
    show = cells(columns, block_size_bytes, in_bytes=in_bytes)
    ranges = [place for place, column in enumerate(columns) if column.name == "RANGE"]
    numbers = [place for place, column in enumerate(columns) if column.name == "BLOCK"]
    for run in runs:
        row = show(run._replace(nr_blocks=1))
        for number in range(run.first, run.first + run.nr_blocks):
            for place in ranges:
                row[place] = _range(number, 1, block_size_bytes)
            for place in numbers:
                row[place] = f"{number}"
            yield row.copy()


def lines_by_block(
    columns: Sequence[Column],
    runs: Iterable[BlockRun],
    block_size_bytes: int,
    line: Callable[[list[Cell]], str],
    *,
    in_bytes: bool,
) -> Iterator[str]:
    """The same as lines: one is put together a run, with places for range and number.

    No cell has a percent sign.
    """
    show = cells(columns, block_size_bytes, in_bytes=in_bytes)
    differ = [place for place, column in enumerate(columns) if column.name in {"RANGE", "BLOCK"}]
    ranges = [columns[place].name == "RANGE" for place in differ]
    for run in runs:
        row = show(run._replace(nr_blocks=1))
        for place in differ:
            row[place] = "%s"
        template = line(row)
        for number in range(run.first, run.first + run.nr_blocks):
            text = _range(number, 1, block_size_bytes)
            yield template % tuple([text if is_range else number for is_range in ranges])


def _range(first: int, count: int, block_size_bytes: int) -> str:
    start = first * block_size_bytes
    return f"0x{start:016x}-0x{start + count * block_size_bytes - 1:016x}"


def _yes(value: bool | None) -> Cell:  # noqa: FBT001 - a cell's value
    return None if value is None else ("yes" if value else "no")


def human_size(size_bytes: int) -> str:
    """A size in the largest unit, with one digit behind the point where it needs one.

    As util-linux prints it (``size_to_human_string()``): halves are rounded up.
    """
    shift = min(60, max(0, (size_bytes.bit_length() - 1) // 10 * 10))
    whole = size_bytes >> shift
    tenths = ((size_bytes - (whole << shift)) * 1000 >> shift) + 50
    whole, tenths = whole + tenths // 1000, tenths % 1000 // 100
    return (
        f"{whole}.{tenths}{'BKMGTPE'[shift // 10]}"
        if tenths
        else f"{whole}{'BKMGTPE'[shift // 10]}"
    )
