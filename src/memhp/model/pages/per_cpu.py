"""Per-cpu lists: where single pages wait between the allocator and who uses them.

Source: ``rmqueue_pcplist()``, ``free_unref_page_commit()``,
``free_pcppages_bulk()``, ``drain_pages_zone()``.

Model: how much goes over at once does not change with what a processor does
(``alloc_factor``, ``free_factor``, ``free_high``).
"""

from collections.abc import Iterator
from enum import IntEnum
from itertools import groupby
from typing import Final

import numpy as np

from memhp.core.geometry import PAGES_PER_PAGEBLOCK
from memhp.model.pages.area import NONE, PCP_TYPES, Area, PerCpu, per_cpu_order, refill_size
from memhp.model.pages.frames import CACHED, CACHED_TAIL, Bytes, Pfns
from memhp.model.pages.give import give
from memhp.model.pages.take import take, write_used
from memhp.model.pages.words import NR_ORDERS, MigrateType


class Mixing(IntEnum):
    """Whether a refill may take from pageblocks of other types (``ALLOC_NOFRAGMENT``)."""

    NEVER = 0
    AT_LAST = 1
    FREELY = 2


Key = tuple[int, int]
"""An order and a migrate type: which list of a processor (``order_to_pindex()``)."""
KEYS: Final[list[Key]] = [
    (order, int(kind)) for order in range(NR_ORDERS) if per_cpu_order(order) for kind in PCP_TYPES
]


def take_cached(
    area: Area,
    cpu: int,
    order: int,
    migratetype: MigrateType,
    wanted: int,
    *,
    limit: int,
    mixing: Mixing = Mixing.FREELY,
) -> Pfns:
    """Take up to so many chunks over a processor's list, each only while ``free`` is above a limit.

    Taking from the list changes nothing of that; each refill does, and after
    the one that goes below the limit a single chunk is still handed out.
    """
    if area.free <= limit:
        return NONE
    pcp = area.per_cpu(cpu)
    got = _pop(pcp, (order, migratetype), wanted)
    if len(got) == wanted:
        return got
    parts = [got]
    wanted -= len(got)
    while wanted and area.free > limit:
        write_used(area, parts[-1], order, migratetype)
        most = -((limit - area.free) // (refill_size(area.batch, order) << order))
        found, last = _refill(area, order, migratetype, (wanted, most), mixing)
        if not len(found):
            break
        # Below the limit, only the first chunk of the last refill is handed out.
        handed = min(wanted, len(found) if area.free > limit else last + 1)
        _keep(area, pcp, found[handed:], (order, migratetype))
        parts.append(found[:handed])
        wanted -= handed
    return np.concatenate(parts) if len(got) or len(parts) > 2 else parts[-1]


def give_cached(area: Area, cpu: int, heads: Pfns, order: int) -> None:
    """Put chunks on a processor's lists, in this order, and drain what becomes too much.

    The types are those of their pageblocks; none is isolated.
    """
    pcp = area.per_cpu(cpu)
    types = area.frames.migratetype[heads // PAGES_PER_PAGEBLOCK]
    _write(area, heads, order)
    if pcp.count + (len(heads) << order) < area.high and (types == types[0]).all():
        key = (order, int(types[0]))
        pcp.lists[key] = np.concatenate((heads[::-1], pcp.lists.get(key, NONE)))
        pcp.count += len(heads) << order
        return
    queues = _Queues(pcp, heads, order, types)
    parts = _drains(area, pcp, queues)
    queues.put_back(pcp)
    for each_order, group in groupby(parts, key=lambda part: part[0][0]):
        give(area, np.concatenate([queues.cut(*part) for part in group]), each_order)


def drain(area: Area) -> None:
    """Give every page on per-cpu lists of a zone back (``drain_pages_zone()``)."""
    for pcp in area.pcp.values():
        for key in KEYS:
            waiting = pcp.lists.pop(key, NONE)
            if len(waiting):
                give(area, waiting[::-1], key[0])
        pcp.count = 0


def _pop(pcp: PerCpu, key: Key, wanted: int) -> Pfns:
    waiting = pcp.lists.get(key, NONE)
    got = waiting[:wanted]
    pcp.lists[key] = waiting[wanted:]
    pcp.count -= len(got) << key[0]
    return got


def _refill(
    area: Area, order: int, migratetype: MigrateType, wanted: tuple[int, int], mixing: Mixing
) -> tuple[Pfns, int]:
    """Refill a list, which is empty, for so many chunks and at most so often.

    Gives all that came, and the place in it where the last refill begins.
    """
    batch = refill_size(area.batch, order)
    if mixing is Mixing.AT_LAST:
        # Each refill looks for pages of its own type first, and may find a few.
        found = take(area, order, migratetype, batch, refill=batch, nofragment=True)
        if len(found):
            return found, 0
        wanted = (1, 1)
    asked = min(-(-wanted[0] // batch), wanted[1]) * batch
    nofragment = mixing is Mixing.NEVER
    found = take(area, order, migratetype, asked, refill=batch, nofragment=nofragment)
    return found, (len(found) - 1) // batch * batch


def _keep(area: Area, pcp: PerCpu, heads: Pfns, key: Key) -> None:
    pcp.lists[key] = heads
    pcp.count += len(heads) << key[0]
    _write(area, heads, key[0])


def _write(area: Area, heads: Pfns, order: int) -> None:
    if order:
        area.frames.state[(heads[:, None] + np.arange(1 << order)).ravel()] = CACHED_TAIL
    area.frames.state[heads] = CACHED | order


class _Queues:
    """A processor's lists with chunks that are being put on one of them, oldest first."""

    def __init__(self, pcp: PerCpu, heads: Pfns, order: int, types: Bytes) -> None:
        self.order = order
        self.types = types
        self.queue = {key: waiting[::-1] for key, waiting in pcp.lists.items() if len(waiting)}
        self.gone = dict.fromkeys(KEYS, 0)
        self._old = {key: len(queue) for key, queue in self.queue.items()}
        self._came: dict[Key, Pfns] = {}
        for migratetype in set(types.tolist()):
            key, mine = (order, migratetype), types == migratetype
            old = self.queue.get(key, NONE)
            self.queue[key] = np.concatenate((old, heads[mine]))
            self._came[key] = np.cumsum(mine)

    def waiting(self, key: Key, pushed: int) -> int:
        """How many are on a list once so many have been put on any."""
        came = self._came.get(key)
        new = int(came[pushed - 1]) if came is not None else 0
        return self._old.get(key, 0) + new - self.gone[key]

    def cut(self, key: Key, start: int, end: int) -> Pfns:
        """A part of a list."""
        return self.queue[key][start:end]

    def put_back(self, pcp: PerCpu) -> None:
        """Leave on the lists what was not drained."""
        for key, queue in self.queue.items():
            pcp.lists[key] = queue[self.gone[key] :][::-1]


def _drains(area: Area, pcp: PerCpu, queues: _Queues) -> list[tuple[Key, int, int]]:
    """What is drained while the chunks are put on: parts of lists, in order."""
    parts: list[tuple[Key, int, int]] = []
    size, pushed, number = 1 << queues.order, 0, len(queues.types)
    while True:
        step = max(1, -((pcp.count - area.high) // size))
        if pushed + step > number:
            pcp.count += number - pushed << queues.order
            return parts
        pushed += step
        pcp.count += step << queues.order
        wanted = area.batch if area.high >= area.batch else 1
        key = (queues.order, int(queues.types[pushed - 1]))
        for part in _drain_some(queues, key, min(wanted, pcp.count), pushed):
            pcp.count -= part[2] - part[1] << part[0][0]
            if parts and parts[-1][0] == part[0]:
                parts[-1] = (part[0], parts[-1][1], part[2])
            else:
                parts.append(part)


def _drain_some(
    queues: _Queues, first: Key, nr_pages: int, pushed: int
) -> Iterator[tuple[Key, int, int]]:
    """Drain the wanted list until it is empty, then the ones after it in turn."""
    at = KEYS.index(first)
    while nr_pages > 0:
        key = KEYS[at]
        at = (at + 1) % len(KEYS)
        number = min(queues.waiting(key, pushed), -(-nr_pages // (1 << key[0])))
        if number > 0:
            start = queues.gone[key]
            queues.gone[key] += number
            nr_pages -= number << key[0]
            yield key, start, start + number
