"""The pages of a machine as blocks, zones and hotplug see them: ``PageLevel``."""

from collections.abc import Collection, Iterator
from dataclasses import replace

import numpy as np

from memhp.core.census import PageKind as Wanted
from memhp.core.geometry import PAGES_PER_PAGEBLOCK, NodeId
from memhp.core.surroundings import HugePool
from memhp.core.words import ZoneType
from memhp.model.kernel import Kernel
from memhp.model.page_level import Left, Obstacle
from memhp.model.page_numbers import PageNumbers
from memhp.model.page_tables import Structure
from memhp.model.pages.allocate import Request
from memhp.model.pages.census import census
from memhp.model.pages.frames import CLASS, MOVABLE, UNMOVABLE, Frames, Pfns
from memhp.model.pages.gfp import Gfp
from memhp.model.pages.give import give
from memhp.model.pages.holding import Holding
from memhp.model.pages.hugetlb import HugetlbPool
from memhp.model.pages.isolate import (
    describe,
    find_obstacle,
    isolate_range,
    remove_range,
    take_range,
    unisolate,
)
from memhp.model.pages.kernel_map import KernelMap
from memhp.model.pages.migrate import move_out, pages_in, targets_of
from memhp.model.pages.migrate_kernel import (
    MoveCosts,
    Moved,
    count_moved,
    kernel_heads,
    move_kernel_pages,
)
from memhp.model.pages.pages import Pages
from memhp.model.pages.poison import poison, soft_poison
from memhp.model.pages.populate import enter, refresh
from memhp.model.pages.structures import STRUCTURES, build_structure
from memhp.model.pages.words import KIND_NUMBER, KINDS, PageKind


class MachinePages(Pages):
    """``Pages`` with what offlining and onlining do to whole ranges of them."""

    def __init__(self, frames: Frames, *, claims_apart: bool) -> None:
        super().__init__(frames, claims_apart=claims_apart)
        self.hugetlb = HugetlbPool()
        self.kernel_map = KernelMap()
        self.costs = MoveCosts()

    def real(self) -> "MachinePages":
        """The pages themselves."""
        return self

    def obstacle(self, start: int, end: int, poisoned: Collection[int] = ()) -> Obstacle | None:
        """Find the page at which isolating would stop, if any."""
        found = find_obstacle(self, start, end, poisoned)
        return None if found is None else describe(self, found[0])

    def isolate(self, start: int, end: int, poisoned: Collection[int] = ()) -> Obstacle | None:
        """Isolate a range, per-cpu lists drained first, or say what stands in the way."""
        self.drain()
        return isolate_range(self, start, end, poisoned)

    def move_out(self, kernel: Kernel, start: int, end: int) -> Left:
        """Migrate what an isolated range holds, once."""
        nodes = frozenset(n for n in kernel.online_nodes if kernel.node_present(n))
        area = self.area_of(start)
        targets = nodes if area is None else targets_of(area, nodes)
        kernel_moved = self._move_kernel(kernel, targets, start, end)
        left = move_out(self, self.hugetlb, targets, start, end)
        stuck = pages_in(self, kernel_heads(self, start, end)) if self.also_movable else 0
        return replace(left, moved=left.moved + kernel_moved, no_room=left.no_room + stuck)

    def _move_kernel(self, kernel: Kernel, targets: frozenset[NodeId], start: int, end: int) -> int:
        """Move kernel chunks, and lead what used them to where they are now."""
        area = self.area_of(start)
        total = 0
        for moved in [] if area is None else move_kernel_pages(self, area, targets, start, end):
            count_moved(self.costs, moved)
            inside = np.arange(1 << moved.order)
            direct = moved.kinds != KIND_NUMBER[PageKind.VMALLOC]
            old, new = (
                (heads[direct][:, None] + inside).ravel() for heads in (moved.old, moved.new)
            )
            for unit in self.kernel_map.units(np.concatenate((old, new)), PAGES_PER_PAGEBLOCK):
                self._split(kernel, unit)
            self.kernel_map.exchange(old, new)
            self._follow(kernel, moved)
            total += len(moved.old) << moved.order
        return total

    def _split(self, kernel: Kernel, unit: int) -> None:
        """Map 2 MiB of the direct map by single pages, with page tables for it."""
        tables = kernel.page_tables.split(unit)
        self.costs.split_units += bool(tables)
        for table in tables:
            node = min(kernel.firmware.cpu_nodes)
            home = self.build(kernel, table, node)
            kernel.page_tables.set_home(table, unit if home is None else home)

    def _follow(self, kernel: Kernel, moved: Moved) -> None:
        """Write down where memory maps and page tables lie that have moved."""
        if not np.isin(moved.kinds, [KIND_NUMBER[kind] for kind in STRUCTURES]).any():
            return
        names = {holding.number: name for name, holding in self.structures.items()}
        numbers = self.holders.numbers_at(moved.new)
        mine = np.isin(numbers, list(names))
        self.count_hosted(kernel, moved.old[mine], moved.order, -1)
        self.count_hosted(kernel, moved.new[mine], moved.order, 1)
        for number in np.unique(numbers[mine]).tolist():
            first = int(self.holders.heads(self.holders.holdings[number])[0])
            kernel.page_tables.set_home(names[number], first // kernel.pages_per_block)

    def move_out_of_movable(self, holding: Holding) -> bool:
        """Move what of a holding lies in ``ZONE_MOVABLE`` to a kernel zone; false without room.

        Source: ``check_and_migrate_movable_pages()``.
        """
        heads = self.holders.heads(holding)
        zones = self.frames.zone[heads // PAGES_PER_PAGEBLOCK]
        for number in np.unique(zones).tolist():
            area = self.areas[number - 1]
            if area.zone is ZoneType.MOVABLE:
                old = heads[zones == number]
                request = Request(
                    gfp=Gfp.MOVABLE, node=area.node, order=holding.order, count=len(old)
                )
                new = self.take(request)
                self.holders.move(old[: len(new)], new)
                self.give_back(old[: len(new)], holding.order)
                if len(new) < len(old):
                    return False
        return True

    def put_back(self, start: int, end: int) -> None:
        """Undo the isolation; what was migrated stays where it went."""
        unisolate(self, start, end)

    def plug(self, start: int, end: int) -> None:
        """Hand frames that the host has plugged to the allocator (``virtio_mem_online_page()``)."""
        area = self.area_of(start)
        if area is not None:
            give(area, np.arange(start, end), 0)

    def unplug(self, kernel: Kernel, start: int, end: int) -> bool:
        """Take all frames of a range for the host; false where that fails.

        What is in them may go anywhere, to the same node too (``alloc_contig_range()``).
        """
        self.drain()
        if isolate_range(self, start, end) is not None:
            return False
        nodes = frozenset(n for n in kernel.online_nodes if kernel.node_present(n))
        if move_out(self, self.hugetlb, nodes, start, end).nothing:
            take_range(self, start, end)
            return True
        unisolate(self, start, end)
        return False

    def leave(self, start: int, end: int) -> None:
        """Take an isolated range from its zone; what still lies in it was poisoned, and is lost."""
        (places,) = np.nonzero(np.isin(self.frames.state[start:end] & CLASS, (MOVABLE, UNMOVABLE)))
        if len(places):
            self.holders.let_go(places + start)
        remove_range(self, start, end)

    def enter(self, kernel: Kernel, node: NodeId, zone: ZoneType, start: int, end: int) -> None:
        """Hand the frames of a block that comes online to its zone, at the tail of the lists."""
        enter(kernel, self.area(node, zone), start, end)

    def build(self, kernel: Kernel, structure: Structure, node: NodeId) -> int | None:
        """Allocate pages for a structure; gives the block of the first, ``None`` without room."""
        holding = build_structure(self, structure, node)
        if holding is None:
            return None
        heads = self.holders.heads(holding)
        self.count_hosted(kernel, heads, holding.order, 1)
        return int(heads[0]) // kernel.pages_per_block

    def unbuild(self, kernel: Kernel, structure: Structure) -> bool:
        """Free the pages of a structure; false where it has none of its own."""
        holding = self.structures.pop(structure, None)
        if holding is None:
            return False
        self.count_hosted(kernel, self.holders.heads(holding), holding.order, -1)
        self.free(holding)
        return True

    def release(self, start: int, end: int) -> tuple[NodeId, ZoneType]:
        """Give the allocator frames that were reserved; gives their zone."""
        area = self.area_of(start)
        if area is None:
            raise ValueError(f"the frames from {start:#x} on are in no zone")
        give(area, np.arange(start, end), 0)
        return area.node, area.zone

    def count_hosted(self, kernel: Kernel, heads: Pfns, order: int, sign: int) -> None:
        """Count pages of structures in their blocks and zones, or count them off."""
        blocks, numbers = np.unique(heads // kernel.pages_per_block, return_counts=True)
        for block, number in zip(blocks.tolist(), numbers.tolist(), strict=True):
            count = (kernel.hosted.get(block) or 0) + sign * (number << order)
            if count > 0:
                kernel.hosted.fill(block, block + 1, count)
            else:
                kernel.hosted.clear(block, block + 1)
        for number in self.frames.zone[heads // PAGES_PER_PAGEBLOCK].tolist():
            area = self.areas[number - 1]
            kernel.zone(area.node, area.zone).kernel_pages += sign << order

    def census(self, start: int, end: int) -> dict[Wanted, int]:
        """Count the pages of a range by what they are to someone who wants it."""
        return census(self, start, end)

    def poison(self, pfn: int) -> str:
        """Take a page out of use, whatever it holds; gives what the kernel says of it."""
        return poison(self, pfn).value

    def soft_poison(self, pfn: int) -> None:
        """Take a page out of use after moving its content; raises ``KernelRefusal``."""
        soft_poison(self, pfn)

    def numbers(self, node: NodeId, zone: ZoneType) -> PageNumbers:
        """What the counters of a zone say."""
        area = self.area(node, zone)
        counts = self.holders.counts[area.index].tolist()
        return PageNumbers(
            free=area.free,
            cached={cpu: lists.count for cpu, lists in area.pcp.items()},
            by_kind={kind.name: number for kind, number in zip(KINDS, counts, strict=True)},
            mlocked=_mlocked_in(self, area.index),
            high=area.high,
            batch=area.batch,
        )

    def huge_pools(self) -> Iterator[HugePool]:
        """The pools of huge pages of each node that has memory."""
        return self.hugetlb.pools(self)

    def hold_huge_pages(self, pool: HugePool, count: int) -> None:
        """Have a node hold so many huge pages, or as many as there is room for."""
        self.hugetlb.hold(self, pool, count)

    def refresh(self, kernel: Kernel) -> None:
        """Take over marks and zonelists after a change of what is online."""
        refresh(kernel, self)


def _mlocked_in(pages: Pages, zone: int) -> int:
    """Count the locked pages in the zone of a number."""
    holders = pages.holders
    locked = [each for each in holders.holdings.values() if each.mlocked]
    zones = (
        (pages.frames.zone[holders.heads(each) // PAGES_PER_PAGEBLOCK], each) for each in locked
    )
    return sum(int(np.count_nonzero(found == zone)) << each.order for found, each in zones)
