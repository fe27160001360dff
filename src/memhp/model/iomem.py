"""The resource tree that ``/proc/iomem`` shows.

Source: ``__request_region()``, ``release_mem_region_adjustable()``,
``merge_system_ram_resource()``, ``walk_system_ram_range()``.
"""

from bisect import bisect_right, insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from memhp.core.geometry import pages_of
from memhp.core.ranges import PhysRange

SYSTEM_RAM = "System RAM"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Resource:
    """One resource; ``depth`` is its indentation, ``busy`` that nobody else may have it."""

    range: PhysRange
    depth: int
    name: str
    busy: bool = True

    @property
    def is_system_ram(self) -> bool:
        """Whether the kernel counts it as RAM, whoever brought it."""
        return self.name.startswith(SYSTEM_RAM)


class ResourceTree:
    """Resources by address, parents before their children.

    Model: two layers are enough for memory; a child lies wholly in its parent.
    """

    def __init__(self, resources: Iterable[Resource] = ()) -> None:
        self._resources: list[Resource] = sorted(resources)

    def __iter__(self) -> Iterator[Resource]:
        return iter(sorted(self._resources, key=_by_address))

    def insert(self, resource: Resource) -> None:
        """Add a resource that is known not to conflict."""
        insort(self._resources, resource)

    def remove(self, resource: Resource) -> None:
        """Take one resource out."""
        self._resources.remove(resource)

    def release(self, gone: PhysRange) -> None:
        """Take a range of System RAM out: the entry goes, shrinks, or splits in two."""
        for resource in [r for r in self._overlapping(gone) if r.is_system_ram]:
            self._resources.remove(resource)
            for start, end in (
                (resource.range.start, min(resource.range.end, gone.start)),
                (max(resource.range.start, gone.end), resource.range.end),
            ):
                if start < end:
                    insort(
                        self._resources, replace(resource, range=PhysRange(start=start, end=end))
                    )

    def merge(self, start: int) -> None:
        """Join the System RAM entry at ``start`` with equal neighbours that touch it."""
        own = next(r for r in self._resources if r.is_system_ram and r.range.start == start)
        same = [r for r in self._resources if (r.name, r.depth) == (own.name, own.depth)]
        low, high = own.range.start, own.range.end
        joined = [own]
        for other in sorted(same, reverse=True):
            if other.range.end == low:
                low = other.range.start
                joined.append(other)
        for other in sorted(same):
            if other.range.start == high:
                high = other.range.end
                joined.append(other)
        for other in joined:
            self._resources.remove(other)
        insort(self._resources, replace(own, range=PhysRange(start=low, end=high)))

    def ram_pages(self, wanted: PhysRange) -> int:
        """Count the whole pages of RAM in a range (``walk_system_ram_range()``)."""
        total = 0
        for resource in self._overlapping(wanted):
            if resource.is_system_ram:
                start = max(resource.range.start, wanted.start)
                end = min(resource.range.end, wanted.end)
                total += max(0, pages_of(end) - pages_of(start + 4095))
        return total

    def _overlapping(self, wanted: PhysRange) -> Iterator[Resource]:
        """Walk what overlaps, from the right place on."""
        last = bisect_right(self._resources, wanted.end, key=lambda r: r.range.start)
        for index in range(last - 1, -1, -1):
            resource = self._resources[index]
            if resource.range.overlaps(wanted):
                yield resource
            elif resource.depth == 0 and resource.range.end <= wanted.start:
                return


def _by_address(resource: Resource) -> tuple[int, int]:
    return resource.range.start, resource.depth
