"""The recount of a machine's pages from scratch, and what must hold after any operation."""

from collections import Counter
from collections.abc import Iterator

import numpy as np

from memhp.model.kernel import Kernel
from memhp.model.pages.area import Area
from memhp.model.pages.frames import (
    CACHED,
    CACHED_TAIL,
    CLASS,
    FREE,
    FREE_TAIL,
    MOVABLE,
    MOVABLE_TAIL,
    ORDER,
    TYPE_SHIFT,
    UNMOVABLE,
    UNMOVABLE_TAIL,
)
from memhp.model.pages.machine_pages import MachinePages
from memhp.model.pages.words import KIND_NUMBER, MAX_ORDER, MigrateType

Identity = tuple[int, int]


def content(pages: MachinePages) -> dict[str, list[Identity]]:
    """The identities of each owner's pages, as its own tables lead to them."""
    found: dict[str, list[Identity]] = {}
    for holding in pages.holders.holdings.values():
        for head in pages.holders.heads(holding).tolist():
            number, page = pages.holders.identity(head)
            found.setdefault(holding.owner, []).extend(
                (number, page + inside) for inside in range(1 << holding.order)
            )
    return {owner: sorted(each) for owner, each in found.items()}


def broken_page_rules(kernel: Kernel, pages: MachinePages) -> list[str]:
    """Every rule that the pages of a kernel break, in words."""
    found = [*_holders(pages), *_lists(pages), *_counts(kernel, pages)]
    return [*found, *_kinds(pages), *_structures(kernel, pages)]


def _holders(pages: MachinePages) -> Iterator[str]:
    """Table and frames point at each other, and no frame is in two holdings."""
    seen: Counter[int] = Counter()
    for holding in pages.holders.holdings.values():
        heads = pages.holders.heads(holding)
        if len(heads) != pages.holders.live(holding) or not len(heads):
            yield f"holding {holding.number} counts {pages.holders.live(holding)} of {len(heads)}"
        if (pages.holders.numbers_at(heads) != holding.number).any():
            yield f"frames of holding {holding.number} name another"
        code = (MOVABLE if holding.movable else UNMOVABLE) | holding.order
        if (pages.frames.state[heads] != code).any():
            yield f"frames of holding {holding.number} are not what it is"
        tails = (heads[:, None] + np.arange(1, 1 << holding.order)).ravel()
        tail = MOVABLE_TAIL if holding.movable else UNMOVABLE_TAIL
        if (pages.frames.state[tails] != tail).any():
            yield f"tails of holding {holding.number} are not what it is"
        seen.update(heads.tolist())
        seen.update(tails.tolist())
    if any(number > 1 for number in seen.values()):
        yield "a frame is held twice"
    codes = pages.frames.state & CLASS
    held = int(np.count_nonzero((codes == MOVABLE) | (codes == UNMOVABLE)))
    named = sum(pages.holders.live(h) for h in pages.holders.holdings.values())
    if held != named:
        yield f"{held} chunks are held and {named} are named"


def _kinds(pages: MachinePages) -> Iterator[str]:
    """The counters by zone and kind, and how often pages are mapped, are what holdings say."""
    counts = np.zeros_like(pages.holders.counts)
    for holding in pages.holders.holdings.values():
        heads = pages.holders.heads(holding)
        zones = np.bincount(pages.frames.zone[heads // 512], minlength=len(counts))
        counts[:, KIND_NUMBER[holding.kind]] += zones << holding.order
        mapped = holding.kind.mapped + len(holding.shared_with)
        if pages.holders.mapcount_of[holding.number] != mapped:
            yield f"holding {holding.number} is not mapped {mapped} times"
    if (counts != pages.holders.counts).any():
        yield "the counters by zone and kind are wrong"


def _structures(kernel: Kernel, pages: MachinePages) -> Iterator[str]:
    """Memory maps and page tables lie where the page tables say, and are counted there."""
    tables = kernel.page_tables
    for structure, holding in pages.structures.items():
        first = int(pages.holders.heads(holding)[0]) // kernel.pages_per_block
        home = (
            tables.memmap_home.get(structure)
            if isinstance(structure, int)
            else tables.tables.get(structure)
        )
        if home != first:
            yield f"{structure} is said to lie in block {home} and lies in {first}"
    total = sum(zone.kernel_pages for zone in kernel.zones.values())
    held = sum(
        pages.holders.live(holding) << holding.order for holding in pages.structures.values()
    )
    if total != held:
        yield f"zones count {total} pages of structures, {held} are held"


def _lists(pages: MachinePages) -> Iterator[str]:
    """Free chunks are what their lists say, do not overlap, and are merged as far as they may."""
    for area in pages.areas:
        covered = np.zeros(pages.frames.nr_frames, np.uint8)
        free = isolated = 0
        for migratetype in MigrateType:
            for order in range(MAX_ORDER + 1):
                heads = area.lists[migratetype][order].entries()
                size = len(heads) << order
                free += size if migratetype is not MigrateType.ISOLATE else 0
                isolated += size if migratetype is MigrateType.ISOLATE else 0
                for head in heads.tolist():
                    covered[head : head + (1 << order)] += 1
                yield from _chunks(pages, area, heads.tolist(), order, migratetype)
        if (covered > 1).any():
            yield f"{area.zone} of node {area.node}: free chunks overlap"
        if free != area.free:
            yield f"{area.zone} of node {area.node} counts {area.free} free, lists hold {free}"
        isolated += 32768 * int(
            np.count_nonzero(
                (pages.frames.pristine == pages.frames.ISOLATED)
                & (pages.frames.zone[::64] == area.index)
            )
        )
        if isolated != area.isolated:
            yield f"{area.zone} of node {area.node} counts {area.isolated} isolated of {isolated}"


def _chunks(
    pages: MachinePages, area: Area, heads: list[int], order: int, migratetype: MigrateType
) -> Iterator[str]:
    view = pages.frames.state_view
    for head in heads:
        if pages.frames.pristine[head // 32768] == 1:
            continue
        if view[head] != FREE | migratetype << TYPE_SHIFT | order or head % (1 << order):
            yield f"the chunk at {head:#x} is not what its list says"
        if (pages.frames.state[head + 1 : head + (1 << order)] != FREE_TAIL).any():
            yield f"the chunk at {head:#x} has other tails"
        buddy = head ^ (1 << order)
        other = view[buddy]
        if order < MAX_ORDER and other & FREE and other & ORDER == order:
            theirs = (other & ~FREE) >> TYPE_SHIFT
            apart = (migratetype == MigrateType.ISOLATE) != (theirs == MigrateType.ISOLATE)
            # Isolation cuts largest chunks; undone, they are one again.
            both = migratetype == theirs == MigrateType.ISOLATE and order == MAX_ORDER - 1
            if not apart and not both and pages.frames.zone_of(buddy) == area.index:
                yield f"chunks at {head:#x} and {buddy:#x} are not merged"


def _counts(kernel: Kernel, pages: MachinePages) -> Iterator[str]:
    """Free, cached and held pages are all that the zone manages."""
    codes = pages.frames.state
    for area in pages.areas:
        mine = np.repeat(pages.frames.zone == area.index, 512)
        here = codes[mine]
        classes = here & CLASS
        held = np.count_nonzero(
            (classes == MOVABLE)
            | (classes == UNMOVABLE)
            | (here == MOVABLE_TAIL)
            | (here == UNMOVABLE_TAIL)
        )
        cached = np.count_nonzero((classes == CACHED) | (here == CACHED_TAIL))
        if cached != area.cached():
            yield f"{area.zone} of node {area.node} counts {area.cached()} cached of {cached}"
        managed = kernel.zone(area.node, area.zone).managed
        total = int(held) + int(cached) + area.free + area.isolated
        if total + _poisoned(kernel, pages, area) != managed:
            yield f"{area.zone} of node {area.node} manages {managed} pages, counted {total}"


def _poisoned(kernel: Kernel, pages: MachinePages, area: Area) -> int:
    return sum(1 for pfn in kernel.poisoned if pages.frames.zone_of(pfn) == area.index)
