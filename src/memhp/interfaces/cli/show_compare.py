"""A comparison as tables."""

from collections.abc import Iterator, Mapping, Sequence

from memhp.core.geometry import bytes_of
from memhp.interfaces.cli.amounts import amount
from memhp.model.compare.comparison import Comparison, Row
from memhp.model.compare.facts import Access, Combination
from memhp.model.compare.sensitivity import Interval, Ranking

_HEADS = ("policy", "memmap", "vmalloc", "pinned")


def compare_lines(result: Comparison, *, tlb_entries: int) -> Iterator[str]:
    """Everything that a person is told, line by line."""
    whose = ", with the machine's own workload" if result.own_workload else ""
    yield f"{amount(result.total_bytes)} meant to come out, {result.seeds} seeds{whose}"
    for table in (_coming_out, _locality, _moving):
        yield ""
        yield from table(result.rows)
    yield ""
    yield from _direct_map(result.rows, tlb_entries)
    yield from _missing(result.rows)
    yield ""
    yield from _ranking("latency", result.by_latency)
    yield from _ranking("time for a GiB", result.by_time)
    yield from _anchors(result)


def _missing(rows: Sequence[Row]) -> Iterator[str]:
    """Say where a workload did not get all that it asked for."""
    for row in rows:
        if row.missing_pages:
            yield f"{row.combination}: the workload lacks {_pages(row.missing_pages)}"


def _coming_out(rows: Sequence[Row]) -> Iterator[str]:
    heads = ("can come out", "of the seeds", "blocks that refuse, and why")
    cells = [(_share(row.out.mean), _range(row.out), _why(row.refusals)) for row in rows]
    return _table(heads, rows, cells)


def _locality(rows: Sequence[Row]) -> Iterator[str]:
    heads = (*(f"{kind} local" for kind in Access), "latency", "interval")
    cells = [
        (
            *(_share(row.local[kind]) for kind in Access),
            f"{row.latency.mean:.3f}x",
            f"{row.latency.low:.3f}-{row.latency.high:.3f}",
        )
        for row in rows
    ]
    return _table(heads, rows, cells)


def _moving(rows: Sequence[Row]) -> Iterator[str]:
    heads = ("moved: user", "kernel", "time", "interval", "stuck free")
    cells = [
        (
            _pages(row.moved_user_pages),
            _pages(row.moved_kernel_pages),
            _seconds(row.seconds.mean),
            f"{_seconds(row.seconds.low)}-{_seconds(row.seconds.high)}",
            amount(round(row.stuck_free_bytes)),
        )
        for row in rows
    ]
    return _table(heads, rows, cells)


def _direct_map(rows: Sequence[Row], tlb_entries: int) -> Iterator[str]:
    heads = ("direct map, entries", f"{tlb_entries} cover at best", "evenly used")
    cells = [
        (
            _entries(row.direct_map),
            amount(round(row.reach_bytes)),
            amount(round(row.mean_reach_bytes)),
        )
        for row in rows
    ]
    return _table(heads, rows, cells)


def _names(combination: Combination) -> tuple[str, str, str, str]:
    return (
        combination.policy,
        combination.memmap,
        "moves" if combination.migrate_vmalloc else "stays",
        f"{combination.dma_percent} %",
    )


def _share(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _range(interval: Interval) -> str:
    return f"{interval.low:.0%}-{interval.high:.0%}"


def _why(refusals: Mapping[str, float]) -> str:
    return ", ".join(f"{count:.3g} {why}" for why, count in refusals.items()) or "none"


def _pages(pages: float) -> str:
    return amount(bytes_of(round(pages)))


def _seconds(seconds: float) -> str:
    return f"{seconds:.3g} s"


def _entries(counts: Mapping[int, float]) -> str:
    sizes = sorted((size for size in counts if counts[size]), reverse=True)
    return ", ".join(f"{counts[size]:.0f} of {amount(size)}" for size in sizes) or "none"


def _ranking(by: str, ranking: Ranking) -> Iterator[str]:
    yield f"best by {by}: {ranking.order[0]}"
    if ranking.changed_by:
        yield f"  the order by {by} changes with {', '.join(ranking.changed_by)}"
    else:
        yield f"  no parameter, halved or doubled, changes the order by {by}"


def _anchors(result: Comparison) -> Iterator[str]:
    for anchor in result.anchors:
        value = f"{anchor.value:.2f}"
        yield f"anchor: {anchor.name}: {value}; published {anchor.published}: {anchor.verdict}"
    if any(row.combination.policy.find("migrate-kernel") >= 0 for row in result.rows):
        yield "what migrate-kernel gains is an upper bound: no kernel can do it"


def _table(
    heads: Sequence[str], rows: Sequence[Row], cells: Sequence[Sequence[str]]
) -> Iterator[str]:
    """Columns as wide as they must be; of a name's parts those that differ, and the policy."""
    names = [_names(row.combination) for row in rows]
    kept = [part for part in range(len(_HEADS)) if part == 0 or len({n[part] for n in names}) > 1]
    lines = [[*(_HEADS[part] for part in kept), *heads]]
    lines += [
        [*(name[part] for part in kept), *cell] for name, cell in zip(names, cells, strict=True)
    ]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    for line in lines:
        padded = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        yield "  ".join(padded).rstrip()
