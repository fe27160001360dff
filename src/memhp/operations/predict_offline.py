"""Whether a block can go offline now: what stands in the way, and what a person could do.

Pure. The rule follows the order in which ``offline_pages()`` refuses: zones and
holes, pages that cannot be isolated (``has_unmovable_pages()``), and then what
cannot leave (``do_migrate_range()``): pinned pages, huge pages, pages without
room elsewhere. A reason that is sure decides; where none does, a doubtful one
makes the answer unknown, for a wrong promise costs more than none.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from memhp.core.evidence import (
    MANY_PASSING,
    UNMOVABLE,
    BlockEvidence,
    Evidence,
    Held,
    NodeRoom,
    Sighting,
)
from memhp.core.geometry import GIB, PAGE_SIZE_BYTES, PAGES_PER_PAGEBLOCK, bytes_of, pages_of
from memhp.core.targets import format_size
from memhp.core.words import BlockState, ZoneType
from memhp.operations.room_elsewhere import targets_of, total_room

_LIVELOCK_PAGES = 2


class Answer(StrEnum):
    """Whether a block can go offline now."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Obstacle:
    """One thing in the way. ``sure`` where it alone refuses; ``remedy`` is what a person can do."""

    what: str
    remedy: str
    sure: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """The answer for one block.

    ``goes_by_itself`` says what will leave without anybody's help.
    """

    block: int
    zone: ZoneType | None
    answer: Answer
    obstacles: tuple[Obstacle, ...] = ()
    goes_by_itself: tuple[str, ...] = ()
    pages_to_move: int = 0

    @property
    def is_offline(self) -> bool:
        """Whether there was nothing to do."""
        return self.goes_by_itself == (_ALREADY,)


_ALREADY = "nothing is left to go: the block is offline"


def predict(block: BlockEvidence, evidence: Evidence) -> Prediction:
    """Say whether one block would go offline now."""
    if block.state is BlockState.OFFLINE:
        return Prediction(
            block=block.block, zone=None, answer=Answer.YES, goes_by_itself=(_ALREADY,)
        )
    obstacles = tuple(_obstacles(block, evidence))
    return Prediction(
        block=block.block,
        zone=block.zone,
        answer=_answer(obstacles),
        obstacles=obstacles,
        goes_by_itself=tuple(_goes_by_itself(block)),
        pages_to_move=block.pages_to_move,
    )


def predict_all(evidence: Evidence) -> tuple[Prediction, ...]:
    """Say it for each block by itself, as if the others stayed as they are."""
    return tuple(predict(block, evidence) for block in evidence.blocks)


def _answer(obstacles: Iterable[Obstacle]) -> Answer:
    sure = [obstacle.sure for obstacle in obstacles]
    if any(sure):
        return Answer.NO
    return Answer.UNKNOWN if sure else Answer.YES


def _obstacles(block: BlockEvidence, evidence: Evidence) -> Iterator[Obstacle]:
    yield from _of_the_block(block)
    yield from _of_the_kernel(block)
    yield from _pins(block, evidence)
    yield from _huge_pages(block, evidence)
    yield from _room(block, evidence)


def _of_the_block(block: BlockEvidence) -> Iterator[Obstacle]:
    if block.zone is None:
        yield Obstacle(
            what="the block lies in two zones or on two nodes",
            remedy="this block never goes offline while the kernel runs",
        )
    if block.has_holes:
        yield Obstacle(
            what="a part of the block is no RAM",
            remedy="this block never goes offline while the kernel runs",
        )
    if block.stuck:
        yield Obstacle(what=block.stuck, remedy="this part never goes while the kernel runs")


def _of_the_kernel(block: BlockEvidence) -> Iterator[Obstacle]:
    """What isolating stops at; in ``ZONE_MOVABLE`` reserved pages alone."""
    kinds = UNMOVABLE if block.zone is not ZoneType.MOVABLE else {Held.RESERVED}
    found = [sighting for sighting in block.sightings if sighting.kind in kinds]
    lasting = sum(block.lasting.get(kind, 0) for kind in kinds)
    total = sum(sighting.count for sighting in found)
    sure = lasting > 0 or (block.looks < 2 and total > 0) or total > MANY_PASSING
    for sighting in found:
        yield Obstacle(what=_seen(sighting), remedy=_REMEDIES[sighting.kind], sure=sure)
    if block.zone is not ZoneType.MOVABLE and not total:
        yield from _plain(block)


def _plain(block: BlockEvidence) -> Iterator[Obstacle]:
    """Pages that show nothing: more than the zone's lists can hold are the kernel's."""
    plain = block.kinds.get(Held.PLAIN, 0)
    if block.most_nobodys is not None and block.looks > 1:
        of_kernel = block.lasting.get(Held.PLAIN, 0) - block.most_nobodys
        if of_kernel > MANY_PASSING:
            yield Obstacle(
                what=f"{_pages(plain)} show nothing of what they are, and at most "
                f"{block.most_nobodys} of them can be other than the kernel's",
                remedy=_REMEDIES[Held.KERNEL],
            )
            return
    if plain:
        yield Obstacle(
            what=f"{_pages(plain)} are free on a per-CPU list, or the kernel's: nobody can tell",
            remedy="try it; the kernel says within a moment",
            sure=False,
        )


def _pins(block: BlockEvidence, evidence: Evidence) -> Iterator[Obstacle]:
    for sighting in block.sightings:
        if sighting.kind is Held.PINNED:
            holders = _holders(evidence, Held.PINNED)
            yield Obstacle(
                what=f"{_seen(sighting)}: the kernel would try to move it for ever",
                remedy=f"stop {holders}" if holders else "stop the process that pins it",
                sure=block.lasting.get(Held.PINNED, 0) > 0 or block.looks < 2,
            )
    if block.zone is not ZoneType.MOVABLE:
        yield from _hidden_pins(block, evidence)


def _hidden_pins(block: BlockEvidence, evidence: Evidence) -> Iterator[Obstacle]:
    """Pins that do not show, of processes that tell how many they have."""
    for pinner in evidence.pinners:
        mapped = pinner.pages.get(block.block, 0)
        least = pinner.least_in(block.block)
        if mapped:
            which = (
                f"{least} of them at the least" if least else "whether any of these does not show"
            )
            yield Obstacle(
                what=f"{_pages(mapped)} of {pinner.owner}, which holds pages in place: {which}",
                remedy=f"stop {pinner.owner}" + ("" if least else ", or try it"),
                sure=least > 0,
            )


def _huge_pages(block: BlockEvidence, evidence: Evidence) -> Iterator[Obstacle]:
    gigantic = -(-block.kinds.get(Held.GIGANTIC, 0) // _pages_of_gigantic(evidence))
    targets = targets_of(block, evidence)
    if gigantic and sum(room.free_gigantic for room in targets) < gigantic:
        yield _gigantic_stays(evidence)
    used = block.kinds.get(Held.HUGE, 0) // PAGES_PER_PAGEBLOCK
    idle = block.kinds.get(Held.HUGE_FREE, 0) // PAGES_PER_PAGEBLOCK
    yield from _huge_stay(block, evidence, targets, used, idle)
    free = sum(room.free_huge for room in evidence.rooms)
    if idle and free - idle < evidence.reserved_huge:
        yield Obstacle(
            what=f"{_count(idle, 'free huge page')} of it are promised to a process",
            remedy="add huge pages elsewhere, or stop the process that reserved them",
            sure=False,
        )


def _pages_of_gigantic(evidence: Evidence) -> int:
    return min(pages_of(GIB), evidence.pages_per_block)


def _gigantic_stays(evidence: Evidence) -> Obstacle:
    holders = _holders(evidence, Held.HUGE)
    return Obstacle(
        what="a part of a huge page of 1 GiB that is in use, and none is free elsewhere",
        remedy="free a huge page of 1 GiB on another node"
        + (f", or stop {holders}" if holders else ", or stop the process that uses it"),
    )


def _huge_stay(
    block: BlockEvidence,
    evidence: Evidence,
    targets: tuple[NodeRoom, ...],
    used: int,
    idle: int,
) -> Iterator[Obstacle]:
    """Huge pages of 2 MiB that are in use.

    The pool's last freed page is taken first, though it lie in the very block:
    on a machine with one node two used pages change places for ever
    (``dequeue_hugetlb_folio_node_exact()``). Where none is free, a new one is made.
    """
    free = sum(room.free_huge for room in targets)
    at_home = any(room.node == block.node for room in targets)
    if used and at_home and free and (used >= _LIVELOCK_PAGES or idle):
        yield Obstacle(
            what=f"{_count(used, 'huge page')} in use would change places with free ones "
            "of the same block for ever",
            remedy="give the free huge pages back first (lower nr_hugepages), then it goes; "
            "'--prepare hugepages' does",
            sure=used >= _LIVELOCK_PAGES,
        )
    elif used > free:
        wanted = (used - free) * PAGES_PER_PAGEBLOCK
        room = sum(r.kernel_free + r.movable_free for r in targets)
        if room < 2 * wanted:
            holders = _holders(evidence, Held.HUGE)
            yield Obstacle(
                what=f"{_count(used, 'huge page')} in use, and too little room for new ones",
                remedy="add huge pages on another node"
                + (f", or stop {holders}" if holders else ""),
                sure=room < wanted,
            )


def _room(block: BlockEvidence, evidence: Evidence) -> Iterator[Obstacle]:
    """Single pages of kernel zones are never let into ``ZONE_MOVABLE``, large pieces are."""
    huge = block.kinds.get(Held.HUGE, 0) + block.kinds.get(Held.GIGANTIC, 0)
    wanted = block.pages_to_move - huge
    room = total_room(block, evidence)
    for_large = min(block.kinds.get(Held.LARGE, 0), room.for_large)
    if wanted - for_large > room.free + room.reclaimable + evidence.swap_free:
        yield Obstacle(
            what=f"{_pages(wanted)} would have to move, and the other memory has room for "
            f"{_pages(room.free + room.reclaimable)}",
            remedy="stop processes or free memory elsewhere",
        )
    elif wanted > room.free:
        yield Obstacle(
            what=f"{_pages(wanted)} would have to move; {_pages(room.free)} are free elsewhere, "
            "and the rest needs memory that is reclaimed, or large free pieces",
            remedy="drop caches elsewhere, or stop processes",
            sure=False,
        )


def _goes_by_itself(block: BlockEvidence) -> Iterator[str]:
    for kind, words in _LEAVES.items():
        count = block.kinds.get(kind, 0)
        if count:
            yield f"{_pages(count)} {words}"


_LEAVES = {
    Held.FREE: "free",
    Held.CACHED_FREE: "free on per-CPU lists, which are drained",
    Held.LRU: "of processes and page cache, which move",
    Held.LARGE: "of processes and page cache in large pieces, which move",
    Held.BUSY: "in use by input and output, which move when that is done",
    Held.DRIVER_MOVABLE: "that their driver moves (zram, balloon)",
    Held.HUGE: "of huge pages in use, which move",
    Held.HUGE_FREE: "of free huge pages, which the pool gives up",
    Held.DRIVER: "that a driver has given away",
    Held.POISONED: "poisoned, which are given up; from 6.12 on the block never comes online again, "
    "so 'memhp offline' asks for --accept poisoned",
}
_REMEDIES = {
    Held.RESERVED: "this part never goes while the kernel runs",
    Held.SLAB: "dropping caches may free some of it, as '--prepare drop-caches' does",
    Held.PAGE_TABLE: "it goes when the process whose page table it is ends",
    Held.KERNEL: "it goes only when what made the kernel allocate it ends; "
    "'memhp census --owners' may tell whose it is",
}


def _seen(sighting: Sighting) -> str:
    whose = f" of {sighting.owner}" if sighting.owner else ""
    where = f"page frame {sighting.first_pfn:#x} at {sighting.first_pfn * PAGE_SIZE_BYTES:#x}"
    more = f" and {sighting.count - 1} more" if sighting.count > 1 else ""
    return f"{sighting.kind}{whose}: {where}{more}"


def _pages(count: int) -> str:
    return _count(count, "page") + (f" ({format_size(bytes_of(count))})" if count else "")


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _holders(evidence: Evidence, kind: Held) -> str:
    return ", ".join(found.owner for found in evidence.holders if found.kind is kind)
