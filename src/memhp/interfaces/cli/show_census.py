"""Printing a census: rows, the kinds below them, who holds pages, and what stays open."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from memhp.core.census import PageKind, Prospect
from memhp.core.geometry import bytes_of
from memhp.core.owners import Owners
from memhp.core.ranges import format_blocks
from memhp.interfaces.cli.census_rows import By, Row
from memhp.interfaces.cli.show import printable

_HEADINGS = {
    Prospect.NOTHING: "FREE",
    Prospect.MOVES: "MOVABLE",
    Prospect.DEAR: "DEAR",
    Prospect.STAYS: "UNMOVABLE",
    Prospect.UNKNOWN: "UNKNOWN",
}
_NONE = "-"
_MOST_OWNERS_SHOWN = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class CensusResult:
    """What was counted; ``owners`` is ``None`` where nobody asked."""

    machine: str
    pages_per_block: int
    rows: tuple[Row, ...]
    total: Mapping[PageKind, int]
    notes: tuple[str, ...]
    owners: Owners | None


def as_json(result: CensusResult) -> dict[str, Any]:
    """The same values for a program: kinds in full, and added up by prospect."""
    found: dict[str, Any] = {
        "machine": result.machine,
        "pages_per_block": result.pages_per_block,
        "rows": [_row_as_json(row) for row in result.rows],
        "total": _counts(result.total),
        "notes": list(result.notes),
    }
    if result.owners is not None:
        found["owners"] = [
            {"kind": o.kind, "name": o.name, "pid": o.pid, "pages": o.nr_pages}
            for o in result.owners.owners
        ]
        found["notes"] += result.owners.notes
    return found


def _row_as_json(row: Row) -> dict[str, Any]:
    return {
        "blocks": list(row.blocks),
        "node": row.node,
        "zone": row.zone,
        "state": row.state,
        "device": row.device,
        **_counts(row.pages),
    }


def _counts(pages: Mapping[PageKind, int]) -> dict[str, dict[str, int]]:
    by_prospect = dict.fromkeys(Prospect, 0)
    for kind, number in pages.items():
        by_prospect[kind.prospect] += number
    return {
        "pages": {kind.value: number for kind, number in pages.items()},
        "prospects": {prospect.name.lower(): number for prospect, number in by_prospect.items()},
    }


def print_census(result: CensusResult, *, by: By) -> None:
    """Print it for a person; figures are pages."""
    _print_columns(_table(result, by), left=3 if by is By.BLOCK else 1)
    if result.total:
        print()
        _print_columns(_kinds(result.total), left=1)
    if result.owners is not None:
        print()
        _print_columns(_owners(result.owners), left=2)
    notes = (*result.notes, *(result.owners.notes if result.owners else ()))
    for note in notes:
        print(f"note: {printable(note)}")


def _table(result: CensusResult, by: By) -> list[list[str]]:
    about = {
        By.BLOCK: ["BLOCKS", "NODE", "ZONE"],
        By.NODE: ["NODE"],
        By.DEVICE: ["DEVICE"],
    }[by]
    lines = [[*about, *_HEADINGS.values()]]
    lines.extend([*_about(row, by), *_figures(row)] for row in result.rows)
    if len(result.rows) > 1:
        sums = [str(sum(row.of(prospect) for row in result.rows)) for prospect in Prospect]
        lines.append(["total", *[""] * (len(about) - 1), *sums])
    return lines


def _about(row: Row, by: By) -> list[str]:
    if by is By.NODE:
        return [_NONE if row.node is None else str(row.node)]
    if by is By.DEVICE:
        return [row.device or "none"]
    zone = row.zone if row.zone is not None else (row.state or _NONE)
    return [
        format_blocks(row.blocks),
        _NONE if row.node is None else str(row.node),
        zone if row.state != "offline" else "offline",
    ]


def _figures(row: Row) -> list[str]:
    if not row.pages:
        return [_NONE] * len(Prospect)
    return [str(row.of(prospect)) for prospect in Prospect]


def _kinds(total: Mapping[PageKind, int]) -> list[list[str]]:
    everything = sum(total.values())
    lines = [["KIND", "PAGES", "MIB", "SHARE"]]
    for kind, number in total.items():
        mib = bytes_of(number) / (1 << 20)
        lines.append([kind.value, str(number), f"{mib:.1f}", f"{number / everything:.1%}"])
    return lines


def _owners(owners: Owners) -> list[list[str]]:
    lines = [["OWNER", "NAME", "PAGES"]]
    for owner in owners.owners[:_MOST_OWNERS_SHOWN]:
        kind = owner.kind.value if owner.pid is None else f"{owner.kind.value} {owner.pid}"
        lines.append([kind, printable(owner.name), str(owner.nr_pages)])
    left = len(owners.owners) - _MOST_OWNERS_SHOWN
    if left > 0:
        lines.append([f"and {left} more", "", ""])
    return lines


def _print_columns(lines: Sequence[Sequence[str]], *, left: int) -> None:
    """Print columns as wide as what stands in them, the first ``left`` aligned to the left."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = [
            cell.ljust(width) if place < left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())
