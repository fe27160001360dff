"""Where in the table of holders there is room: regions that died, and the end."""

from collections.abc import Iterable, Sequence
from typing import Final

from memhp.model.pages.holding import SLOTS_PER_UNIT

WASTE: Final = 1 << 20
"""The table is not packed for less than this many dead slots."""


class Room:
    """The regions of a table of so many slots; a region is so many units long.

    ``next_slot`` is the first that was never used; ``dead_slots`` counts those
    before it that nobody has.
    """

    __slots__ = ("_free", "_slots", "dead_slots", "next_slot")

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._free: dict[int, list[int]] = {}
        self.begin_at(0)

    def begin_at(self, next_slot: int) -> None:
        """Forget all regions: everything before a slot is in use."""
        self.next_slot, self.dead_slots = next_slot, 0
        self._free.clear()

    def regions(self) -> list[tuple[int, list[int]]]:
        """Every size of which regions have died, with where they begin, in the order of dying."""
        return sorted(self._free.items())

    def restore(
        self, next_slot: int, dead_slots: int, regions: Iterable[tuple[int, list[int]]]
    ) -> None:
        """Take over what was saved."""
        self.next_slot, self.dead_slots = next_slot, dead_slots
        self._free = dict(regions)

    def has_same(self, units: int) -> bool:
        """Whether a region of this size has died."""
        return bool(self._free.get(units))

    def is_better_packed(self, units: int) -> bool:
        """Whether the table should be packed before so many more units are taken."""
        wasteful = self.dead_slots > max(WASTE, self.next_slot // 2)
        return wasteful or self.next_slot + units * SLOTS_PER_UNIT > self._slots

    def take(self, units: int) -> int:
        """Take a region: one that died, or at the end; raises ``MemoryError``."""
        same = self._free.get(units)
        if same:
            self.dead_slots -= units * SLOTS_PER_UNIT
            return same.pop()
        first = self.next_slot
        if first + units * SLOTS_PER_UNIT > self._slots:
            raise MemoryError("the model has no room for more pages in use")
        self.next_slot += units * SLOTS_PER_UNIT
        return first

    def take_each(self, units: Sequence[int]) -> list[int]:
        """Take several regions, as ``take()`` would one after another."""
        if not units or units.count(units[0]) < len(units):
            return [self.take(each) for each in units]
        size, number = units[0], len(units)
        same = self._free.get(size, [])
        place = max(0, len(same) - number)
        found = same[place:][::-1]
        del same[place:]
        self.dead_slots -= len(found) * size * SLOTS_PER_UNIT
        return found + [self.take(size) for _ in range(number - len(found))]

    def give(self, first: int, units: int) -> None:
        """Say that nobody has a region any more."""
        self._free.setdefault(units, []).append(first)
        self.dead_slots += units * SLOTS_PER_UNIT
